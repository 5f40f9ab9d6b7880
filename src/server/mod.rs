//! The doors: webhooks and the control socket.
