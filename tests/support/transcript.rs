//! What the operator did in one scenario, step by step: its calls to Azure, its writes to the API
//! server, and the status and events that users see. Recorded files keep it from changing unnoticed.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use azure_sim::model::{ACR_PULL, REPOSITORY_READER};
use azure_sim::{Call, Entry};
use control_plane::audit::AuditEvent;
use regex::Regex;
use tokio::time::Instant;

use super::World;
use super::look::DEADLINE;

/// Writes the recorded files anew.
const UPDATE: &str = "UPDATE_EXPECT";
/// A recording takes a step as finished when nothing has come for so long.
const QUIET: Duration = Duration::from_secs(3);

/// Compares one scenario with its recorded file.
pub struct Transcript<'a> {
    world: &'a World,
    file: PathBuf,
    steps: Vec<String>,
    seen: Seen,
}

/// How much earlier steps have told.
#[derive(Clone, Copy, Default, PartialEq)]
struct Seen {
    azure: usize,
    writes: usize,
    events: usize,
}

impl<'a> Transcript<'a> {
    /// Begins one, after what the operator of that world has done so far.
    pub async fn of(world: &'a World, name: &str) -> Self {
        let folder =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/lifecycle/golden");
        let file = folder.join(format!("{name}.txt"));
        let mut transcript = Self { world, file, steps: Vec::new(), seen: Seen::default() };
        transcript.seen = transcript.section("", &[]).await.1;
        transcript
    }

    /// Ends a step, after which these attachments are there: waits until the operator did what the
    /// file says.
    pub async fn step(&mut self, title: &str, attachments: &[&str]) {
        let recorded = if std::env::var_os(UPDATE).is_some() {
            None
        } else {
            let text = std::fs::read_to_string(&self.file).unwrap_or_default();
            Some(sections(&text).get(self.steps.len()).cloned().unwrap_or_default())
        };
        let deadline = Instant::now() + DEADLINE;
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        let (mut last, mut since) = (String::new(), Instant::now());
        loop {
            ticks.tick().await;
            let (text, seen) = self.section(title, attachments).await;
            if text != last {
                (last, since) = (text, Instant::now());
            }
            let is_done = match &recorded {
                Some(recorded) => last == *recorded,
                None => since.elapsed() > QUIET,
            };
            if is_done {
                self.steps.push(last);
                self.seen = seen;
                return;
            }
            if let Some(recorded) = recorded.as_ref().filter(|_| Instant::now() > deadline) {
                let file = self.file.display();
                panic!(
                    "{file} says:\n{recorded}\nThe operator did:\n{last}\n{UPDATE}=1 records it"
                );
            }
        }
    }

    /// Ends the scenario.
    pub fn end(self) {
        if std::env::var_os(UPDATE).is_some() {
            std::fs::create_dir_all(self.file.parent().unwrap()).unwrap();
            std::fs::write(&self.file, self.steps.concat()).unwrap();
        }
    }

    async fn section(&self, title: &str, attachments: &[&str]) -> (String, Seen) {
        let world = self.world;
        let journal = world.azure.journal();
        let writes = world.writes();
        // What is told on the way depends on the pace; the status that comes of it is part of the step.
        let counts = |it: &&AuditEvent| {
            it.resource != "events" && it.subresource != "status" && !is_about_first(&it.name)
        };
        let writes: Vec<_> = writes.iter().filter(counts).collect();
        let mut events = world.event_lines().await;
        events.retain(|it| !is_about_first(it));
        let seen = Seen { azure: journal.len(), writes: writes.len(), events: events.len() };

        let mut text = format!("## {title}\n");
        let mut add = |head: &str, lines: Vec<String>| {
            let _ = writeln!(text, "{head}:");
            for line in lines {
                let _ = writeln!(text, "  {line}");
            }
        };
        add("azure", self.calls(&journal[self.seen.azure..]));
        let writes = writes[self.seen.writes..].iter().map(|it| {
            let place =
                [&*it.resource, &it.subresource, &it.namespace, &it.name].map(str::to_owned);
            let place: Vec<_> = place.into_iter().filter(|it| !it.is_empty()).collect();
            let code = it.code.unwrap_or_default();
            self.plain(&format!("{} {} {code}", it.verb, place.join(" ")))
        });
        add("kubernetes", writes.collect::<BTreeSet<_>>().into_iter().collect());
        let mut told: Vec<_> = events[self.seen.events..].iter().map(|it| self.plain(it)).collect();
        told.sort();
        add("events", told);
        for name in attachments {
            let status =
                world.stored().get(&world.name(name)).await.unwrap().data["status"].clone();
            let status = serde_json::to_string_pretty(&status).unwrap();
            add(
                &format!("status of {name}"),
                self.plain(&status).lines().map(str::to_owned).collect(),
            );
        }
        (text, seen)
    }

    /// Calls in their order. Reads between two writes may come in any order, and more than once.
    fn calls(&self, journal: &[Entry]) -> Vec<String> {
        let (mut lines, mut reads) = (Vec::new(), BTreeSet::new());
        for it in journal {
            let status = it.status.map_or("-".to_owned(), |it| it.to_string());
            let line = format!("{} https://{}{} {status}", it.method, it.host, it.path);
            let line = self.plain(&line);
            if it.call.is_some_and(Call::is_write) {
                lines.extend(std::mem::take(&mut reads));
                lines.push(line);
            } else {
                reads.insert(line);
            }
        }
        lines.extend(reads);
        lines
    }

    /// A text without what differs from run to run.
    fn plain(&self, text: &str) -> String {
        let mut text = text.replace(&self.world.id, "WORLD");
        for (id, name) in [(ACR_PULL, "AcrPull"), (REPOSITORY_READER, "RepositoryReader")] {
            text = text.replace(id, name);
        }
        self.world.azure.read(|model| {
            for it in &model.principals {
                let name = it.display_name.to_uppercase();
                text = text.replace(&it.object_id, &format!("{name}-OBJECT-ID"));
                if let Some(client) = &it.client_id {
                    text = text.replace(client, &format!("{name}-CLIENT-ID"));
                }
            }
        });
        for (pattern, name) in &*VARYING {
            text = pattern.replace_all(&text, *name).into_owned();
        }
        text
    }
}

/// The attachment that is made and deleted before the scenario.
pub const FIRST: &str = "first";

/// Whether a text begins with its name. The API server may log a write a moment after its answer.
fn is_about_first(text: &str) -> bool {
    text.strip_prefix(FIRST).is_some_and(|it| it.starts_with('-'))
}

/// What differs from run to run, and what stands for it.
static VARYING: LazyLock<[(Regex, &str); 4]> = LazyLock::new(|| {
    let of = |pattern: &str| Regex::new(pattern).unwrap();
    [
        (of(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "TIME"),
        (of(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "ID"),
        (of(r"\b[0-9a-f]{12,16}\b"), "CLAIM"),
        // Writes to several namespaces end in any order.
        (of(r"in namespace \S+ and (\d+) more"), "in a namespace and $1 more"),
    ]
});

/// The steps of a recorded file.
fn sections(text: &str) -> Vec<String> {
    let mut steps: Vec<String> = Vec::new();
    for line in text.lines() {
        if line.starts_with("## ") {
            steps.push(String::new());
        }
        if let Some(step) = steps.last_mut() {
            step.push_str(line);
            step.push('\n');
        }
    }
    steps
}
