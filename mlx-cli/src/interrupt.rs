// SPDX-License-Identifier: EUPL-1.2
//! Ctrl-C.
//!
//! The first one ends the process at once, with exit code 130, unless something is going on that can end by itself:
//! then it sets a flag that is looked at between tokens, and only the second one ends the process. Ending at once
//! means `_exit`: the native library's threads may be at work, and what it does when a process ends in the ordinary
//! way is not made for that.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mlx_models::CancelToken;
use signal_hook::consts::SIGINT;
use signal_hook::flag;

/// The exit code of a program that was interrupted: 128 and the number of the signal.
const CODE: i32 = 130;

/// What Ctrl-C does.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt {
    /// Whether the next one ends the process. Set by the signal itself.
    armed: Arc<AtomicBool>,
    /// Whether one came since the last [`Interrupt::softened`].
    came: Arc<AtomicBool>,
}

impl Interrupt {
    /// Takes over Ctrl-C. To be called once.
    pub(crate) fn install() -> io::Result<Self> {
        let armed = Arc::new(AtomicBool::new(true));
        let came = Arc::new(AtomicBool::new(false));
        // They run in the order in which they are registered: the question comes before the answer changes.
        flag::register_conditional_shutdown(SIGINT, CODE, Arc::clone(&armed))?;
        flag::register(SIGINT, Arc::clone(&armed))?;
        flag::register(SIGINT, Arc::clone(&came))?;
        Ok(Self { armed, came })
    }

    /// Runs `body`, which Ctrl-C only asks to end; `body` looks at [`Interrupt::came`]. Returns its result.
    pub(crate) fn softened<R>(&self, body: impl FnOnce() -> R) -> R {
        self.came.store(false, Ordering::SeqCst);
        self.armed.store(false, Ordering::SeqCst);
        let result = body();
        self.armed.store(true, Ordering::SeqCst);
        result
    }

    /// Whether Ctrl-C came during the last or the present [`Interrupt::softened`].
    pub(crate) fn came(&self) -> bool {
        self.came.load(Ordering::SeqCst)
    }

    /// A flag that Ctrl-C sets.
    pub(crate) fn token(&self) -> CancelToken {
        CancelToken::from(Arc::clone(&self.came))
    }

    /// Sets `cancel` if Ctrl-C came.
    pub(crate) fn forward(&self, cancel: &CancelToken) {
        if self.came() {
            cancel.cancel();
        }
    }
}
