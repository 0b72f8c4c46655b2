//! The private world, seen from outside: namespaces that begin with one process and end with it.

use std::{
    env,
    ffi::OsStr,
    fs,
    io::{PipeWriter, Write as _, pipe},
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, bail};
use control_plane::command::EndSignals;
use tokio::process::{Child, Command};

use crate::{
    Flags,
    machine::{ADDRESS, NAME},
    needs,
    remains::Remains,
    terminal::{say, say_done},
};

/// Prepares the world from within.
const PRIVATE: &str = include_str!("private.sh");
/// Ends it from without.
const SWEEPER: &str = include_str!("sweeper.sh");

/// Runs the story in a world of its own and takes it away, whatever becomes of it.
///
/// # Errors
/// When something is missing, or left.
pub async fn run(flags: &Flags) -> Result<ExitCode> {
    needs::check(flags)?;
    let before = Remains::look();
    let mut signals = EndSignals::listen()?;
    let mut world = World::begin(flags)?;
    let ended = tokio::select! {
        status = world.maker.wait() => Some(status?),
        () = signals.told() => None,
    };
    let is_well = ended.is_some_and(|it| it.success());
    if !is_well {
        world.keep_logs(&flags.logs);
    }
    let (folder, group) = (world.folder.clone(), world.group.clone());
    let start = Instant::now();
    world.end().await?;
    Remains::look().expect_none_since(&before, &folder, &group)?;
    say_done("no process, mount, network device, control group or file is left", start);
    match ended {
        None => bail!("interrupted"),
        Some(_) if is_well => Ok(ExitCode::SUCCESS),
        Some(_) => {
            say(format_args!("every program's log is in {}", flags.logs.display()));
            Ok(ExitCode::FAILURE)
        }
    }
}

/// A private world and the process that ends it.
struct World {
    folder: PathBuf,
    /// The name of its control group in each hierarchy.
    group: String,
    /// Made the namespaces, and lives as long as they do.
    maker: Child,
    sweeper: Child,
    /// Closing these tells the world and the sweeper that the owner is gone.
    inputs: [PipeWriter; 2],
}

impl World {
    /// The sweeper comes first, so that at no moment nobody would clear up.
    fn begin(flags: &Flags) -> Result<Self> {
        let group = format!("acr-attach-node-{:08x}", uuid::Uuid::new_v4().as_fields().0);
        let folder = env::temp_dir().join(&group);
        let arguments = [folder.as_os_str(), group.as_ref()];
        let (sweeper, mut sweeper_input) = script(SWEEPER, &arguments, Stdio::null())?;
        fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        for hierarchy in hierarchies()? {
            let path = hierarchy.join(&group);
            fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        let (maker, input) = maker(flags, &folder)?;
        let id = maker.id().context("unshare has no process id")?;
        writeln!(sweeper_input, "{id}").context("the sweeper does not listen")?;
        Ok(Self { folder, group, maker, sweeper, inputs: [input, sweeper_input] })
    }

    /// Copies the logs out. Whoever cannot, has lost nothing but them.
    fn keep_logs(&self, to: &Path) {
        let _ = fs::remove_dir_all(to);
        let copied = fs::create_dir_all(to).and_then(|()| {
            for entry in fs::read_dir(self.folder.join("logs"))? {
                let entry = entry?;
                fs::copy(entry.path(), to.join(entry.file_name()))?;
            }
            Ok(())
        });
        if let Err(error) = copied {
            eprintln!("node: the logs cannot be kept in {}: {error}", to.display());
        }
    }

    async fn end(self) -> Result<()> {
        let Self { mut maker, mut sweeper, inputs, .. } = self;
        drop(inputs);
        let (_, swept) = tokio::join!(maker.wait(), sweeper.wait());
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

/// Starts a script in a process group of its own, so that Ctrl-C does not reach it.
fn script(text: &str, arguments: &[&OsStr], output: Stdio) -> Result<(Child, PipeWriter)> {
    let (reader, writer) = pipe()?;
    let child = Command::new("/bin/sh")
        .args(["-c", text, "node-sweeper"])
        .args(arguments)
        .current_dir("/")
        .process_group(0)
        .stdin(reader)
        .stdout(output)
        .stderr(Stdio::null())
        .spawn()
        .context("cannot run /bin/sh")?;
    Ok((child, writer))
}

/// The roots of all hierarchies of control groups: one in version 2, else one for each controller.
fn hierarchies() -> Result<Vec<PathBuf>> {
    let root = Path::new("/sys/fs/cgroup");
    let controllers = root.join("cgroup.controllers");
    if !controllers.exists() {
        let folders = fs::read_dir(root)?.collect::<Result<Vec<_>, _>>()?;
        return Ok(folders.into_iter().map(|it| it.path()).filter(|it| it.is_dir()).collect());
    }
    // A group has the controllers that its parent hands down.
    let names = fs::read_to_string(controllers)?;
    let names = names.split_whitespace().map(|it| format!("+{it}"));
    let wanted = names.collect::<Vec<_>>().join(" ");
    let control = root.join("cgroup.subtree_control");
    fs::write(&control, wanted).with_context(|| format!("cannot write {}", control.display()))?;
    Ok(vec![root.to_owned()])
}
