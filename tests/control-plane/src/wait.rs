//! Waiting for something to come true, never for time to pass.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::{Error, program::Program};

/// Generous, since a start takes seconds, and a minute where a build takes both cores: only a start
/// that hangs meets it.
const DEADLINE: Duration = Duration::from_secs(180);

/// One question may take this long. kube's client has no deadline of its own.
const ANSWER: Duration = Duration::from_secs(20);

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(50);

/// Asks until the answer is `Ok`, one of the programs ends, or it gets too late.
///
/// The last of `programs` is the one that is blamed, by its log, for being late.
pub(crate) async fn until<T, F>(
    goal: &str,
    programs: &mut [&mut Program],
    mut ask: impl FnMut() -> F,
) -> Result<T, Error>
where
    F: Future<Output = Result<T, String>>,
{
    let start = Instant::now();
    loop {
        for program in programs.iter_mut() {
            program.expect_running(goal)?;
        }
        let answer = match timeout(ANSWER, ask()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(answer)) => answer,
            Err(_) => format!("no answer within {} s", ANSWER.as_secs()),
        };
        if start.elapsed() > DEADLINE {
            return Err(late(goal, start.elapsed(), answer, programs));
        }
        sleep(PAUSE).await;
    }
}

fn late(goal: &str, waited: Duration, answer: String, programs: &[&mut Program]) -> Error {
    let blamed = programs.last();
    Error::Late {
        goal: goal.into(),
        waited,
        answer,
        program: blamed.map_or("none", |program| program.name()),
        log: blamed.map(|program| program.last_lines()).unwrap_or_default(),
    }
}
