//! The private world, seen from outside: namespaces that begin with one process and end with it.

use std::{
    env,
    ffi::OsStr,
    fs,
    io::{PipeWriter, Write as _, pipe},
    path::Path,
    process::{ExitCode, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use control_plane::command::EndSignals;
use tokio::{
    process::{Child, Command},
    time::timeout,
};

use crate::{
    Flags, control_groups,
    machine::{ADDRESS, NAME},
    needs,
    remains::Remains,
    terminal::{say, say_done},
};

/// Prepares the world from within.
const PRIVATE: &str = include_str!("private.sh");
/// Ends it from without.
const SWEEPER: &str = include_str!("sweeper.sh");
/// Where the log of every program goes when something does not go well.
const LOGS: &str = "target/node/logs";
/// Longer than the sweeper tries.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs the story in a world of its own and takes it away, whatever becomes of it.
///
/// # Errors
/// When something is missing, or left.
pub async fn run(flags: &Flags) -> Result<ExitCode> {
    needs::check(flags)?;
    let name = format!("acr-attach-node-{:08x}", uuid::Uuid::new_v4().as_fields().0);
    let folder = env::temp_dir().join(&name);
    let before = Remains::look(&name, &folder);
    let mut signals = EndSignals::listen()?;
    let mut world = World::begin(flags, &name, &folder)?;
    let ended = tokio::select! {
        status = world.maker.wait() => Some(status?),
        () = signals.told() => None,
    };
    let is_well = ended.is_some_and(|it| it.success());
    let kept = if is_well { Ok(()) } else { keep_logs(&folder) };
    let start = Instant::now();
    world.end(ended).await?;
    Remains::look(&name, &folder).expect_none_since(&before)?;
    say_done("no process, mount, network device, control group or file is left", start);
    if !is_well {
        kept.context("the logs cannot be kept")?;
        say(format_args!("every program's log is in {LOGS}"));
    }
    match ended {
        None => bail!("interrupted"),
        Some(_) if is_well => Ok(ExitCode::SUCCESS),
        Some(_) => Ok(ExitCode::FAILURE),
    }
}

/// Copies the logs out: those of the node, and those of the control plane while it lives.
fn keep_logs(folder: &Path) -> Result<()> {
    let _ = fs::remove_dir_all(LOGS);
    fs::create_dir_all(LOGS)?;
    let folders = fs::read_dir(folder)?.flatten().map(|it| it.path().join("logs"));
    let logs = folders.chain([folder.join("logs")]).filter_map(|it| fs::read_dir(it).ok());
    for log in logs.flatten().flatten() {
        fs::copy(log.path(), Path::new(LOGS).join(log.file_name()))?;
    }
    Ok(())
}

/// A private world and the process that ends it.
struct World {
    /// Made the namespaces, and lives as long as they do.
    maker: Child,
    sweeper: Child,
    /// Closing these tells the world and the sweeper that the owner is gone.
    input: PipeWriter,
    sweeper_input: PipeWriter,
}

impl World {
    /// The sweeper comes first, so that at no moment nobody would clear up.
    fn begin(flags: &Flags, name: &str, folder: &Path) -> Result<Self> {
        let missing = control_groups::missing();
        let mut arguments = vec![folder.as_os_str(), name.as_ref()];
        arguments.extend(missing.iter().map(OsStr::new));
        let (sweeper, mut sweeper_input) = sweeper(&arguments)?;
        fs::create_dir(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        control_groups::make(name, &missing)?;
        let (maker, input) = maker(flags, folder)?;
        let id = maker.id().context("unshare has no process id")?;
        writeln!(sweeper_input, "{id}").context("the sweeper does not listen")?;
        Ok(Self { maker, sweeper, input, sweeper_input })
    }

    /// Its process id is nobody's, or soon another's, once the maker has been waited for.
    async fn end(self, ended: Option<ExitStatus>) -> Result<()> {
        let Self { mut maker, mut sweeper, input, mut sweeper_input } = self;
        if ended.is_some() {
            writeln!(sweeper_input, "gone").context("the sweeper does not listen")?;
        }
        drop((input, sweeper_input));
        let both = async { tokio::join!(maker.wait(), sweeper.wait()) };
        let (_, swept) = timeout(LIMIT, both).await.context("the private world does not end")?;
        swept.map(drop).context("cannot wait for the sweeper")
    }
}

/// Makes the namespaces and runs this program in them.
fn maker(flags: &Flags, folder: &Path) -> Result<(Child, PipeWriter)> {
    let script = folder.join("private.sh");
    fs::write(&script, PRIVATE)?;
    let (reader, writer) = pipe()?;
    let child = Command::new("unshare")
        .args(["--mount", "--pid", "--net", "--uts", "--ipc", "--fork", "--mount-proc"])
        .args(["--kill-child=SIGKILL", "--propagation=private", "sh"])
        .arg(script)
        .arg(folder)
        .args([NAME, ADDRESS])
        .arg(env::current_exe()?)
        .arg("--inside")
        .arg(folder)
        .arg("--programs")
        .arg(&flags.programs)
        .arg("--images")
        .arg(&flags.images)
        // What is temporary goes with the folder, too.
        .env("TMPDIR", folder)
        .stdin(reader)
        // Ctrl-C is for this process.
        .process_group(0)
        .spawn()
        .context("cannot run unshare")?;
    Ok((child, writer))
}

/// Starts it in a process group of its own, so that Ctrl-C does not reach it.
fn sweeper(arguments: &[&OsStr]) -> Result<(Child, PipeWriter)> {
    let (reader, writer) = pipe()?;
    let child = Command::new("/bin/sh")
        .args(["-c", SWEEPER, "node-sweeper"])
        .args(arguments)
        .current_dir("/")
        .process_group(0)
        .stdin(reader)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot run /bin/sh")?;
    Ok((child, writer))
}
