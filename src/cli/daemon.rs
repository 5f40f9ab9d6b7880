//! The way to the running daemon, or the knowledge that there is none.

use super::error::{CliError, Exit, UNFIT_HINT};
use crate::app::control_path;
use crate::app::settings::Settings;
use crate::server::client::{ClientError, ControlClient};
use crate::server::control::UNFIT;

/// The daemon that holds this store, if one runs.
pub(super) async fn connect(settings: &Settings) -> Result<Option<ControlClient>, CliError> {
    match ControlClient::connect(&control_path(&settings.state)).await {
        Ok(client) => Ok(Some(client)),
        Err(ClientError::NotRunning { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        let message = error.to_string();
        match error {
            ClientError::NotRunning { .. } => Self::new(Exit::Unreachable, message).hint("start it: `bursar serve`"),
            ClientError::NotAllowed { .. } => {
                Self::new(Exit::Refused, message).hint("run the command as the user that runs the daemon")
            }
            ClientError::Refused { ref code, .. } if code == UNFIT => {
                Self::new(Exit::Refused, message).hint(UNFIT_HINT)
            }
            ClientError::Refused { status, .. } => {
                let (exit, hint) = match status {
                    404 => (
                        Exit::NotFound,
                        Some("`bursar workflows ls` and `bursar runs ls` show what there is"),
                    ),
                    409 => (Exit::Refused, Some("`bursar runs show` tells where the run stands")),
                    400..=499 => (Exit::Usage, None),
                    503 => (Exit::Store, None),
                    _ => (Exit::Failed, Some("the daemon's log says more")),
                };
                let told = Self::new(exit, message);
                match hint {
                    Some(hint) => told.hint(hint),
                    None => told,
                }
            }
            ClientError::Broken(_) => Self::new(Exit::Unreachable, message)
                .hint("whether it was done is not known: look with `bursar runs ls` before asking again"),
        }
    }
}
