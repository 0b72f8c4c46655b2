//! What the pages say, held to what the code does. A page names everything there is, and nothing
//! that there is not.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use acr_attach::settings::{Arguments, CheckArguments};
use acr_attach_check::findings::credential::CredentialSource;
use acr_attach_check::findings::manifest::{Manifest, manifest};
use acr_attach_check::findings::{PullSecretSource, Report, StepName, Target};
use acr_attach_check::image::Image;
use acr_attach_core::api::{ABANDON_ENTRIES, FINALIZERS, RELEASE, REQUESTED_AT, crd};
use acr_attach_core::outcome::waits::{Intervals, retry};
use acr_attach_core::problem::{Cause, Stalls};
use acr_attach_core::roles::claims;
use clap::Args;
use jiff::SignedDuration;
use serde_json::Value;

const REFERENCE: &str = "docs/reference.md";
const CHECK: &str = "docs/check.md";

pub fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The cells of the first table below a heading of a page, row by row, without its head.
pub fn table(page: &str, heading: &str) -> Vec<Vec<String>> {
    let text = read(page);
    let lines = text.lines().skip_while(|it| *it != heading);
    let rows = lines.skip_while(|it| !it.starts_with('|')).take_while(|it| it.starts_with('|'));
    let cells = |row: &str| {
        let cells = row.trim_matches('|').split('|');
        cells.map(|it| it.trim().to_owned()).collect()
    };
    let rows: Vec<Vec<String>> = rows.skip(2).map(cells).collect();
    assert!(!rows.is_empty(), "{page} has no table below {heading}");
    rows
}

/// What stands between backticks.
pub fn code(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// A column of a table, as far as it is code.
fn column(rows: &[Vec<String>], column: usize) -> Vec<String> {
    rows.iter().flat_map(|it| code(&it[column])).map(str::to_owned).collect()
}

/// That both are the same, whatever their order, and that nothing is told twice.
fn assert_same<'a>(page: &[String], code: impl IntoIterator<Item = &'a str>) {
    let told: BTreeSet<&str> = page.iter().map(String::as_str).collect();
    assert_eq!(told.len(), page.len(), "something is told twice: {page:?}");
    let there: BTreeSet<&str> = code.into_iter().collect();
    let (missing, invented) = (there.difference(&told), told.difference(&there));
    let (missing, invented): (Vec<_>, Vec<_>) = (missing.collect(), invented.collect());
    assert!(missing.is_empty() && invented.is_empty(), "missing {missing:?}, wrong {invented:?}");
}

/// A field of the definition.
struct Field {
    path: String,
    is_required: bool,
    schema: Value,
}

/// All fields below `spec` or `status`.
fn fields(part: &str) -> Vec<Field> {
    let definition = serde_json::to_value(crd()).unwrap();
    let [version] = &definition["spec"]["versions"].as_array().unwrap()[..] else {
        panic!("another version came: give it a page")
    };
    let mut all = Vec::new();
    collect(&version["schema"]["openAPIV3Schema"]["properties"][part], "", &mut all);
    assert!(!all.is_empty());
    all
}

fn collect(schema: &Value, prefix: &str, all: &mut Vec<Field>) {
    let required = schema["required"].as_array();
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{prefix}{name}");
        let is_required = required.is_some_and(|it| it.iter().any(|it| it == name));
        all.push(Field { path: path.clone(), is_required, schema: schema.clone() });
        collect(schema, &format!("{path}."), all);
        collect(&schema["items"], &format!("{path}[]."), all);
    }
}

#[test]
fn the_reference_names_every_field() {
    for (part, heading) in [("spec", "## Spec"), ("status", "## Status")] {
        let fields = fields(part);
        let rows = table(REFERENCE, heading);
        assert_same(&column(&rows, 0), fields.iter().map(|it| it.path.as_str()));
        for row in rows {
            let [name] = code(&row[0])[..] else { panic!("{row:?} is about several fields") };
            let field = fields.iter().find(|it| it.path == name).unwrap();
            let meaning = row.last().unwrap();
            for word in field.schema["enum"].as_array().into_iter().flatten() {
                let word = word.as_str().unwrap();
                assert!(code(meaning).contains(&word), "{name} can be {word}");
            }
            if let Some(most) = field.schema["maxItems"].as_u64() {
                let text = format!("at most {most}");
                assert!(meaning.contains(&text), "{name} holds {text}");
            }
        }
    }
}

#[test]
fn the_reference_tells_defaults_and_what_is_required() {
    let rows = table(REFERENCE, "## Spec");
    for Field { path, is_required, schema } in fields("spec") {
        let row = rows.iter().find(|it| code(&it[0]) == [&path]).unwrap();
        let expected = match (&schema["default"], is_required) {
            (Value::Null, true) => "required".to_owned(),
            (Value::Null, false) => "–".to_owned(),
            (Value::String(word), _) => format!("`{word}`"),
            (value, _) => format!("`{value}`"),
        };
        assert_eq!(row[1], expected, "{path}");
    }
}

/// What `kubectl explain` shows of it is all that some read.
#[test]
fn every_field_of_the_spec_tells_its_default_and_an_example() {
    let of_kubernetes = |it: &&Field| it.path.contains("selector.");
    for Field { path, is_required, schema } in fields("spec").iter().filter(|it| !of_kubernetes(it))
    {
        let text = schema["description"].as_str().unwrap();
        assert!(*is_required || text.contains("efault"), "{path} tells no default: {text}");
        let is_free = schema["enum"].is_null() && schema["type"] != "boolean";
        let is_leaf = schema["properties"].is_null() && is_free;
        let has_example = text.contains("Example: ") || text.contains("`az ");
        assert!(!is_leaf || has_example, "{path} has no example: {text}");
    }
}

#[test]
fn the_reference_names_the_columns() {
    let definition = serde_json::to_value(crd()).unwrap();
    let text = read(REFERENCE);
    let told = text.split("\n\n").find(|it| it.starts_with("`kubectl get regatt`")).unwrap();
    for column in definition["spec"]["versions"][0]["additionalPrinterColumns"].as_array().unwrap()
    {
        let name = column["name"].as_str().unwrap();
        assert!(told.contains(name), "column {name} is missing");
    }
}

/// The words that `as_str` of that enum in `crates/core/src/api/conditions.rs` gives.
fn words(name: &str) -> Vec<String> {
    let text = read("crates/core/src/api/conditions.rs");
    let start = text.find(&format!("impl {name} {{")).unwrap();
    let block = text[start..].split("\n}\n").next().unwrap();
    let words: Vec<_> = block.split('"').skip(1).step_by(2).map(str::to_owned).collect();
    assert!(!words.is_empty(), "{name} has no words");
    words
}

#[test]
fn the_reference_names_every_condition_and_every_reason() {
    for (heading, name) in [("### Conditions", "ConditionType"), ("### Reasons", "Reason")] {
        let told = column(&table(REFERENCE, heading), 0);
        assert_same(&told, words(name).iter().map(String::as_str));
    }
}

/// All but `Queued`, which waits as long as it is told to.
const CAUSES: [Cause; 17] = [
    Cause::InvalidSpec,
    Cause::Unsupported,
    Cause::NotAllowed,
    Cause::NotOurs,
    Cause::ExternallyManaged,
    Cause::AdmissionDenied,
    Cause::Undetermined,
    Cause::AuthenticationFailed,
    Cause::AccessDenied,
    Cause::NotFound,
    Cause::Propagating,
    Cause::Throttled { retry_after: Duration::MAX },
    Cause::Unavailable,
    Cause::QuotaExceeded,
    Cause::Locked,
    Cause::Internal,
    Cause::Busy,
];

#[test]
fn the_reference_tells_when_a_problem_stalls_and_is_tried_again() {
    let mut rows = table(REFERENCE, "### Reasons");
    for cause in CAUSES {
        let reason = cause.reason().as_str();
        let row = rows.iter().position(|it| code(&it[0]) == [reason]).unwrap();
        let row = rows.remove(row);
        let stalls = match cause.stalls() {
            Stalls::Never => "never",
            Stalls::AtOnce => "at once",
            Stalls::After(1) => "after the patience",
            Stalls::After(2) => "after twice the patience",
            Stalls::After(times) => panic!("{reason} stalls after {times} times the patience"),
        };
        assert_eq!((row[2].as_str(), row[3].as_str()), (stalls, &*waits(cause)), "{reason}");
    }
    // What is left is no problem.
    let others = [
        "Attached",
        "Detaching",
        "Suspended",
        "NoNamespaces",
        "NamespaceMissing",
        "AwaitingRelease",
    ];
    assert_eq!(column(&rows, 0), others);
}

/// How long a problem waits to be tried again.
fn waits(cause: Cause) -> String {
    let resync = SignedDuration::from_hours(1000);
    let intervals =
        Intervals { resync, patience: resync, removal_delay: resync, ..Intervals::DEFAULT };
    let [first, last] = [1, 99].map(|failures| retry(cause, failures, &intervals, 0.5));
    let most = text(retry(cause, 99, &intervals, 1.0));
    match cause {
        Cause::Throttled { .. } => format!("as long as Azure says, {most} at most"),
        Cause::Busy => format!("{most} at most, or when its turn comes"),
        _ if first == resync => "`--resync`".to_owned(),
        _ if first == last => text(first),
        _ => format!("{} – {}", text(first), text(last)),
    }
}

fn text(wait: SignedDuration) -> String {
    match wait.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds => format!("{} min", seconds / 60),
    }
}

#[test]
fn the_reference_names_every_event() {
    let source = read("crates/core/src/outcome/events.rs");
    let source = source.split("#[cfg(test)]").next().unwrap();
    let is_word = |it: &&str| {
        it.starts_with(char::is_uppercase) && it.chars().all(|it| it.is_ascii_alphabetic())
    };
    let words = source.split('"').skip(1).step_by(2).filter(is_word);
    let words: BTreeSet<_> = words.filter(|it| !["True", "False"].contains(it)).collect();
    let rows = table(REFERENCE, "## Events");
    let reasons = column(&rows, 0);
    let actions: BTreeSet<_> = column(&rows, 2).into_iter().collect();
    let told: Vec<_> = reasons.into_iter().chain(actions).collect();
    assert_same(&told, words);
}

#[test]
fn the_reference_names_what_stands_in_objects_and_in_azure() {
    let consents = table(REFERENCE, "## Annotations and finalizers");
    let consents: Vec<_> = consents.iter().flat_map(|it| code(&it[0])).collect();
    assert_eq!(consents, [RELEASE, ABANDON_ENTRIES]);
    let finalizers = column(&table(REFERENCE, "### Finalizers"), 0);
    assert_same(&finalizers, FINALIZERS);
    let text = read(REFERENCE);
    assert!(text.contains(&format!("annotation `{REQUESTED_AT}`")));
    assert!(text.contains(&format!("At most {} claims fit", claims::MAX_CLAIMS)));
    let example = text.lines().find_map(|it| it.strip_prefix("    acr-attach claims: "));
    let read = claims::Claims::read(&format!("acr-attach claims: {}", example.unwrap()));
    assert!(read.is_some(), "the example is none of ours");
}

/// Verb by verb, in the order of the chart, with what the rule is about.
#[test]
fn the_page_on_security_tells_every_rule_of_the_chart() {
    let told = table("docs/security.md", "## Rights in the cluster, line by line");
    let told: BTreeSet<_> = told
        .iter()
        .map(|row| {
            let (verbs, about) = row[0].split_once(" on ").unwrap();
            (code(verbs).join(" "), about.to_lowercase().replace(' ', ""))
        })
        .collect();
    let installed = crate::install::rendering::objects(&read("deploy/base/acr-attach.yaml"));
    let of_people = ["acr-attach-view", "acr-attach-edit"];
    let roles = installed.iter().filter(|it| {
        (it["kind"] == "ClusterRole" || it["kind"] == "Role")
            && !of_people.contains(&it["metadata"]["name"].as_str().unwrap())
    });
    let text = |it: &Value| it.as_str().unwrap().to_owned();
    let mut count = 0;
    for rule in roles.flat_map(|it| it["rules"].as_array().unwrap()) {
        count += 1;
        let verbs: Vec<_> = rule["verbs"].as_array().unwrap().iter().map(text).collect();
        // The page speaks of one: namespace, Lease.
        let resource = text(&rule["resources"][0]);
        let resource = resource.trim_end_matches('s');
        let is_told = told.iter().any(|(told, about)| {
            *told == verbs.join(" ") && about.contains(resource.trim_end_matches("/statu"))
        });
        assert!(is_told, "no row tells {verbs:?} on {resource}");
    }
    assert_eq!(told.len(), count, "rows and rules");
}

#[test]
fn the_pages_name_no_flag_that_there_is_not() {
    let commands = [run(), check()];
    let arguments = commands.iter().flat_map(clap::Command::get_arguments);
    let there: BTreeSet<_> = arguments.filter_map(clap::Arg::get_long).collect();
    let pages = ["README.md", "docs/azure-permissions.md", "docs/credentials.md", "docs/gitops.md"];
    let more = [
        "docs/metrics.md",
        "docs/alerts.md",
        "docs/operations.md",
        "docs/troubleshooting.md",
        "docs/identity.md",
        "docs/moving-in.md",
        "docs/rotating.md",
    ];
    for page in pages.into_iter().chain(more).chain([REFERENCE, CHECK]) {
        let text = read(page);
        for flag in code(&text).iter().filter_map(|it| it.strip_prefix("--")) {
            let name = flag.split(['=', ' ']).next().unwrap();
            assert!(there.contains(name), "{page} names --{name}");
        }
    }
}

fn run() -> clap::Command {
    Arguments::augment_args(clap::Command::new("run"))
}

fn check() -> clap::Command {
    CheckArguments::augment_args(clap::Command::new("check"))
}

#[test]
fn every_flag_is_told_with_its_variable_and_its_default() {
    tells_every_flag("docs/operations.md", &run());
    tells_every_flag(CHECK, &check());
}

fn tells_every_flag(page: &str, command: &clap::Command) {
    let mut told = Vec::new();
    for row in table(page, "## Flags") {
        let flags = code(&row[0]).into_iter().filter_map(|it| it.strip_prefix("--"));
        let flags: Vec<_> = flags.map(str::to_owned).collect();
        let defaults: Vec<_> = row[2].split(", ").map(str::to_owned).collect();
        let variables = code(&row[1]).into_iter().map(str::to_owned);
        assert_eq!(flags.len(), defaults.len(), "{row:?}");
        told.extend(flags.into_iter().zip(variables).zip(defaults));
    }
    let flags = command.get_arguments().filter_map(clap::Arg::get_long);
    assert_same(&told.iter().map(|((flag, _), _)| flag.clone()).collect::<Vec<_>>(), flags);
    for ((flag, variable), default) in told {
        let argument = command.get_arguments().find(|it| it.get_long() == Some(&flag)).unwrap();
        assert_eq!(argument.get_env().unwrap(), &*variable, "--{flag}");
        let is = argument.get_default_values().first().filter(|it| !it.is_empty());
        assert!(is.is_none_or(|it| *it == *default), "--{flag} is {is:?} by default");
    }
}

#[test]
fn the_page_on_the_check_names_every_step_and_its_exit_code() {
    let steps = StepName::ALL.map(StepName::as_str);
    assert_eq!(column(&table(CHECK, "## The steps"), 0), steps);
    let told = table(CHECK, "## Exit codes");
    let told: Vec<_> = told.iter().map(|it| (it[0].parse().unwrap(), code(&it[1]))).collect();
    let steps = StepName::ALL.map(|it| (it.exit_code(), vec![it.as_str()]));
    let all: Vec<_> = [(0, vec![]), (1, vec![])].into_iter().chain(steps).collect();
    assert_eq!(told, all);
}

#[test]
fn the_page_on_the_check_shows_the_json_as_it_is() {
    let page = read(CHECK);
    let (_, example) = page.split_once("```json\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let registry = "contoso.azurecr.io".parse().unwrap();
    let image = Image::of(&registry, "team/app:v1").unwrap();
    let pull_secrets = PullSecretSource::ServiceAccount("default".to_owned());
    let namespace = "apps".to_owned();
    let platforms = Vec::new();
    let target =
        Target { registry, image: Some(image.clone()), platforms, namespace, pull_secrets };
    let mut report = Report::new(target.clone());
    let object_id = "0b000000-0000-4000-8000-000000000001".to_owned();
    report.set_credential(Some(CredentialSource::NodeIdentity { object_id }));
    let _ = report.add(manifest(&target, &image, &Manifest::Refused(404)));
    let [example, is]: [Value; 2] =
        [example, &report.json().unwrap()].map(|it| serde_json::from_str(it).unwrap());
    assert_eq!(example, is);
}
