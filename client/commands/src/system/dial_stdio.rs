//! `system dial-stdio`: this program's stdio is a connection to the daemon. Other clients run it
//! by ssh.

use crate::arguments::Arguments;
use crate::command::{Command, Group};
use crate::failure::Failure;
use crate::output::Out;
use crate::session::Session;

/// `system dial-stdio`.
pub(super) static COMMAND: Command =
    Command::new("dial-stdio", "", "Proxy the stdio stream to the daemon connection", run)
        .group(Group::Hidden);

fn run(session: &Session, _: &Arguments) -> Result<(), Failure> {
    let mut reading = session.client.dial()?;
    let mut writing = reading.try_clone()?;
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut writing);
        let _ = writing.close_write();
    });
    std::io::copy(&mut reading, &mut Out::Stdout)?;
    Ok(())
}
