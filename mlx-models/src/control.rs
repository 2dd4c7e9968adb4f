// SPDX-License-Identifier: EUPL-1.2
//! How a caller follows and stops long work.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A flag that stops generation, from any thread. Clones share it.
///
/// It is looked at before each token and between the chunks of a prompt.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// A flag that is not set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the flag.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the flag is set.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl From<Arc<AtomicBool>> for CancelToken {
    /// A flag that somebody else sets, such as the handler of a signal.
    fn from(flag: Arc<AtomicBool>) -> Self {
        Self(flag)
    }
}

/// A function that is told how far something has come: how much is done, and of how much.
#[derive(Clone)]
pub struct Progress(Rc<dyn Fn(usize, usize)>);

impl Progress {
    /// Calls `report` on the thread that does the work, each time some of it is done.
    #[must_use]
    pub fn new(report: impl Fn(usize, usize) + 'static) -> Self {
        Self(Rc::new(report))
    }

    pub(crate) fn report(&self, done: usize, total: usize) {
        (self.0)(done, total);
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}
