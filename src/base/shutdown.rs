//! The word to stop: said once, heard by everything that waits.

use tokio::sync::watch;

/// The side that says it.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// The side that hears it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<bool>);

impl Stopper {
    /// A stopper and what it stops.
    pub fn new() -> (Self, Shutdown) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), Shutdown(receiver))
    }

    /// Says it. Dropping the stopper says it too.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Waits until it is said.
    pub async fn requested(&mut self) {
        // An error means that the stopper is gone, and with it the reason to go on.
        drop(self.0.wait_for(|stop| *stop).await);
    }

    /// Whether it has been said.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everybody_hears_it_early_or_late_and_also_when_the_stopper_is_gone() {
        let (stopper, shutdown) = Stopper::new();
        let mut early = shutdown.clone();
        let waiting = tokio::spawn(async move { early.requested().await });
        assert!(!shutdown.is_requested());
        stopper.stop();
        waiting.await.expect("the early one hears it");
        shutdown.clone().requested().await;
        assert!(shutdown.is_requested());

        let (stopper, mut shutdown) = Stopper::new();
        drop(stopper);
        shutdown.requested().await;
        assert!(shutdown.is_requested());
    }
}
