// SPDX-License-Identifier: EUPL-1.2
//! Where ops run: devices, and the streams on them.

use std::cell::RefCell;
use std::ffi::c_int;
use std::fmt;

use crate::error::{Error, Result};
use crate::ffi::{Handle, call, handle, sys};

/// The kinds of device that MLX knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceKind {
    /// The processor.
    Cpu,
    /// A GPU: Metal on macOS, CUDA on Linux.
    Gpu,
}

handle! {
    /// A device that ops run on.
    pub Device(mlx_device): mlx_device_new, mlx_device_set, mlx_device_free
}

impl Device {
    /// The processor.
    ///
    /// # Errors
    /// [`Error::Mlx`] when memory is exhausted.
    pub fn cpu() -> Result<Self> {
        Self::new(DeviceKind::Cpu, 0)
    }

    /// The first GPU; see [`Device::is_available`].
    ///
    /// # Errors
    /// [`Error::Mlx`] when memory is exhausted.
    pub fn gpu() -> Result<Self> {
        Self::new(DeviceKind::Gpu, 0)
    }

    /// A device by kind and number, whether or not the machine has it.
    ///
    /// # Errors
    /// [`Error::Argument`] when `index` is negative.
    pub fn new(kind: DeviceKind, index: i32) -> Result<Self> {
        if index < 0 {
            return Err(Error::argument("device", "index", format!("expected 0 or more, found {index}")));
        }
        let raw = match kind {
            DeviceKind::Cpu => sys::MLX_CPU,
            DeviceKind::Gpu => sys::MLX_GPU,
        };
        // SAFETY: op contract.
        unsafe { call!(new Device = mlx_device_new_type(raw, index)) }
    }

    /// The device that new threads use: the GPU where there is one.
    ///
    /// # Errors
    /// [`Error::Mlx`] when the library cannot tell.
    pub fn default_device() -> Result<Self> {
        // SAFETY: op contract.
        unsafe { call!(Device = mlx_get_default_device()) }
    }

    /// Whether this machine, with this build of the library, has the device.
    ///
    /// # Errors
    /// [`Error::Mlx`] when the library cannot tell.
    pub fn is_available(&self) -> Result<bool> {
        // SAFETY: op contract.
        unsafe { call!(copy bool = mlx_device_is_available(self.as_raw())) }
    }

    /// The kind of this device.
    ///
    /// # Errors
    /// [`Error::Mlx`] when the library cannot tell.
    pub fn kind(&self) -> Result<DeviceKind> {
        // SAFETY: op contract.
        let raw = unsafe { call!(copy sys::mlx_device_type = mlx_device_get_type(self.as_raw())) }?;
        Ok(if raw == sys::MLX_GPU { DeviceKind::Gpu } else { DeviceKind::Cpu })
    }

    /// The number of this device among its kind.
    ///
    /// # Errors
    /// [`Error::Mlx`] when the library cannot tell.
    pub fn index(&self) -> Result<i32> {
        // SAFETY: op contract.
        unsafe { call!(copy c_int = mlx_device_get_index(self.as_raw())) }
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind(), self.index()) {
            (Ok(kind), Ok(index)) => write!(f, "Device({kind:?}, {index})"),
            _ => f.write_str("Device(?)"),
        }
    }
}

impl PartialEq for Device {
    fn eq(&self, other: &Self) -> bool {
        // SAFETY: op contract.
        unsafe { sys::mlx_device_equal(self.as_raw(), other.as_raw()) }
    }
}

handle! {
    /// A queue of work on a device. Ops run on the thread's current stream; [`Stream::scope`] changes it.
    ///
    /// A stream belongs to the thread that made it, so it is neither `Send` nor `Sync`:
    ///
    /// ```compile_fail,E0277
    /// fn sent<T: Send>() {}
    /// sent::<mlx_core::Stream>();
    /// ```
    /// ```compile_fail,E0277
    /// fn shared<T: Sync>() {}
    /// shared::<mlx_core::Stream>();
    /// ```
    ///
    /// On the CPU each stream costs a thread of the operating system that is never given back: make few, and keep them.
    pub Stream(mlx_stream): mlx_stream_new, mlx_stream_set, mlx_stream_free
}

thread_local! {
    /// The stream that this thread's ops run on, found on first use.
    static CURRENT: RefCell<Option<Stream>> = const { RefCell::new(None) };
}

impl Stream {
    /// A new stream of this thread's on `device`.
    ///
    /// # Errors
    /// [`Error::Argument`] when the machine lacks the device.
    pub fn new(device: &Device) -> Result<Self> {
        if !device.is_available()? {
            return Err(Error::argument("stream", "device", format!("{device:?} is not available here")));
        }
        // SAFETY: op contract.
        unsafe { call!(new Stream = mlx_stream_new_device(device.as_raw())) }
    }

    /// This thread's default stream on `device`: always the same one, so it costs nothing to ask again.
    ///
    /// # Errors
    /// [`Error::Argument`] when the machine lacks the device.
    pub fn default_on(device: &Device) -> Result<Self> {
        if !device.is_available()? {
            return Err(Error::argument("stream", "device", format!("{device:?} is not available here")));
        }
        // SAFETY: op contract.
        unsafe { call!(Stream = mlx_get_default_stream(device.as_raw())) }
    }

    /// The stream that this thread's ops run on.
    ///
    /// # Errors
    /// [`Error::Mlx`] when the library has no default stream.
    pub fn current() -> Result<Self> {
        if let Ok(Some(stream)) = CURRENT.try_with(|current| current.borrow().clone()) {
            return Ok(stream);
        }
        let stream = Self::default_on(&Device::default_device()?)?;
        let _ = CURRENT.try_with(|current| current.replace(Some(stream.clone())));
        Ok(stream)
    }

    /// Runs `body` with this as the thread's current stream, and puts the earlier one back, also after a panic.
    pub fn scope<R>(&self, body: impl FnOnce() -> R) -> R {
        struct Restore(Option<Stream>);
        impl Drop for Restore {
            fn drop(&mut self) {
                let earlier = self.0.take();
                let _ = CURRENT.try_with(|current| current.replace(earlier));
            }
        }
        let earlier = CURRENT.try_with(|current| current.replace(Some(self.clone()))).ok().flatten();
        let _restore = Restore(earlier);
        body()
    }

    /// Waits until all work given to this stream is done.
    ///
    /// # Errors
    /// [`Error::Mlx`] when that work failed.
    pub fn synchronize(&self) -> Result<()> {
        // SAFETY: op contract.
        unsafe { call!(mlx_checked_synchronize(self.as_raw())) }
    }

    /// The device of this stream.
    ///
    /// # Errors
    /// [`Error::Mlx`] when the library cannot tell.
    pub fn device(&self) -> Result<Device> {
        // SAFETY: op contract.
        unsafe { call!(Device = mlx_stream_get_device(self.as_raw())) }
    }

    /// The number of this stream in the process.
    ///
    /// # Errors
    /// [`Error::Mlx`] when the library cannot tell.
    pub fn index(&self) -> Result<i32> {
        // SAFETY: op contract.
        unsafe { call!(copy c_int = mlx_stream_get_index(self.as_raw())) }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.device(), self.index()) {
            (Ok(device), Ok(index)) => write!(f, "Stream({device:?}, {index})"),
            _ => f.write_str("Stream(?)"),
        }
    }
}

impl PartialEq for Stream {
    fn eq(&self, other: &Self) -> bool {
        // SAFETY: op contract.
        unsafe { sys::mlx_stream_equal(self.as_raw(), other.as_raw()) }
    }
}

/// The current stream as ops pass it to C. It stays alive through the thread-local that holds it; where there is none
/// it is empty, and the op fails cleanly.
pub(crate) fn stream() -> sys::mlx_stream {
    let known = CURRENT.try_with(|current| current.borrow().as_ref().map(Handle::as_raw)).ok().flatten();
    known.unwrap_or_else(|| match Stream::current() {
        Ok(_) => CURRENT
            .try_with(|current| current.borrow().as_ref().map(Handle::as_raw))
            .ok()
            .flatten()
            .unwrap_or(NO_STREAM),
        Err(_) => NO_STREAM,
    })
}

/// Whether the thread's current stream is on the processor. Asked for every op, so the answer is kept.
pub(crate) fn on_cpu() -> bool {
    thread_local! {
        static KNOWN: std::cell::Cell<Option<(usize, bool)>> = const { std::cell::Cell::new(None) };
    }
    let raw = stream();
    let place = raw.ctx as usize;
    if let Ok(Some((known, answer))) = KNOWN.try_with(std::cell::Cell::get)
        && known == place
    {
        return answer;
    }
    let answer = Stream::current()
        .and_then(|stream| stream.device())
        .and_then(|device| device.kind())
        .is_ok_and(|kind| kind == DeviceKind::Cpu);
    let _ = KNOWN.try_with(|kept| kept.set(Some((place, answer))));
    answer
}

const NO_STREAM: sys::mlx_stream = sys::mlx_stream { ctx: std::ptr::null_mut() };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_is_there_and_an_absent_gpu_is_an_error() {
        assert!(Device::cpu().unwrap().is_available().unwrap());
        let absent = Device::new(DeviceKind::Gpu, 63).unwrap();
        assert!(!absent.is_available().unwrap());
        assert!(Stream::new(&absent).unwrap_err().to_string().contains("not available"));
        assert!(Stream::default_on(&absent).is_err());
        assert!(Device::new(DeviceKind::Cpu, -1).is_err());
    }

    #[test]
    fn scope_changes_the_current_stream_and_puts_it_back_after_a_panic() {
        let before = Stream::current().unwrap();
        let other = Stream::new(&Device::cpu().unwrap()).unwrap();
        assert_ne!(before, other);
        other.scope(|| assert_eq!(Stream::current().unwrap(), other));
        assert_eq!(Stream::current().unwrap(), before);
        let caught =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| other.scope(|| panic!("inside"))));
        assert!(caught.is_err());
        assert_eq!(Stream::current().unwrap(), before);
        other.synchronize().unwrap();
    }
}
