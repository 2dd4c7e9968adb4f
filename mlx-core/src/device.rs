// SPDX-License-Identifier: EUPL-1.2
//! Where ops run: devices, and the streams on them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::c_int;
use std::fmt;

use crate::error::{Error, Result};
use crate::ffi::{self, Handle, c_string, call, handle, sys};
use crate::lease;
use crate::text::{Text, Texts, text};

/// The kinds of device that MLX knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceKind {
    /// The processor.
    Cpu,
    /// A GPU: Metal on macOS, CUDA on Linux.
    Gpu,
}

impl DeviceKind {
    const fn to_raw(self) -> sys::mlx_device_type {
        match self {
            Self::Cpu => sys::MLX_CPU,
            Self::Gpu => sys::MLX_GPU,
        }
    }
}

/// One of the things that are known of a device; see [`Device::info`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceValue {
    /// A text, such as a name.
    Text(String),
    /// A number, such as a size in bytes.
    Number(usize),
}

handle! {
    /// What the library knows of a device.
    Info(mlx_device_info): mlx_device_info_new, mlx_device_info_free
}

handle! {
    /// A device that ops run on.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Device, Stream};
    /// let gpu = Device::gpu()?;
    /// let device = if gpu.is_available()? { gpu } else { Device::cpu()? };
    /// let a = Stream::default_on(&device)?.scope(|| Array::scalar(2.0f32)?.square())?;
    /// assert_eq!(a.item::<f32>()?, 4.0);
    /// # Ok(()) }
    /// ```
    pub Device(mlx_device): mlx_device_new, mlx_device_set, mlx_device_free
}

impl Device {
    /// The processor.
    ///
    /// # Errors
    /// [`Error::Mlx`] when memory is exhausted.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// assert!(mlx_core::Device::cpu()?.is_available()?);
    /// # Ok(()) }
    /// ```
    pub fn cpu() -> Result<Self> {
        Self::new(DeviceKind::Cpu, 0)
    }

    /// The first GPU; see [`Device::is_available`].
    ///
    /// # Errors
    /// [`Error::Mlx`] when memory is exhausted.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// let gpu = mlx_core::Device::gpu()?;
    /// println!("a GPU is here: {}", gpu.is_available()?);
    /// # Ok(()) }
    /// ```
    pub fn gpu() -> Result<Self> {
        Self::new(DeviceKind::Gpu, 0)
    }

    /// A device by kind and number, whether or not the machine has it.
    ///
    /// # Errors
    /// [`Error::Argument`] when `index` is negative.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Device, DeviceKind};
    /// let second = Device::new(DeviceKind::Gpu, 1)?;
    /// assert_eq!((second.kind()?, second.index()?), (DeviceKind::Gpu, 1));
    /// # Ok(()) }
    /// ```
    pub fn new(kind: DeviceKind, index: i32) -> Result<Self> {
        if index < 0 {
            return Err(Error::argument("device", "index", format!("expected 0 or more, found {index}")));
        }
        // SAFETY: op contract.
        unsafe { call!(new Device = mlx_device_new_type(kind.to_raw(), index)) }
    }

    /// How many devices of a kind this machine has, with this build of the library.
    ///
    /// # Errors
    /// [`Error::Mlx`] when the library cannot tell.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Device, DeviceKind};
    /// assert_eq!(Device::count(DeviceKind::Cpu)?, 1);
    /// # Ok(()) }
    /// ```
    pub fn count(kind: DeviceKind) -> Result<usize> {
        // SAFETY: op contract.
        let count = unsafe { call!(copy c_int = mlx_device_count(kind.to_raw())) }?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// The device that new threads use: the GPU where there is one.
    ///
    /// # Errors
    /// [`Error::Mlx`] when the library cannot tell.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Device, Stream};
    /// assert_eq!(Stream::current()?.device()?, Device::default_device()?);
    /// # Ok(()) }
    /// ```
    pub fn default_device() -> Result<Self> {
        // SAFETY: op contract.
        unsafe { call!(Device = mlx_get_default_device()) }
    }

    /// Whether this machine, with this build of the library, has the device.
    ///
    /// # Errors
    /// [`Error::Mlx`] when the library cannot tell.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Device, DeviceKind};
    /// assert!(!Device::new(DeviceKind::Gpu, 1000)?.is_available()?);
    /// # Ok(()) }
    /// ```
    pub fn is_available(&self) -> Result<bool> {
        // SAFETY: op contract.
        unsafe { call!(copy bool = mlx_device_is_available(self.as_raw())) }
    }

    /// The kind of this device.
    ///
    /// # Errors
    /// [`Error::Mlx`] when the library cannot tell.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// assert_eq!(mlx_core::Device::cpu()?.kind()?, mlx_core::DeviceKind::Cpu);
    /// # Ok(()) }
    /// ```
    pub fn kind(&self) -> Result<DeviceKind> {
        // SAFETY: op contract.
        let raw = unsafe { call!(copy sys::mlx_device_type = mlx_device_get_type(self.as_raw())) }?;
        Ok(if raw == sys::MLX_GPU { DeviceKind::Gpu } else { DeviceKind::Cpu })
    }

    /// The number of this device among its kind.
    ///
    /// # Errors
    /// [`Error::Mlx`] when the library cannot tell.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// assert_eq!(mlx_core::Device::cpu()?.index()?, 0);
    /// # Ok(()) }
    /// ```
    pub fn index(&self) -> Result<i32> {
        // SAFETY: op contract.
        unsafe { call!(copy c_int = mlx_device_get_index(self.as_raw())) }
    }

    /// Makes this the device of threads that have not used the library yet, and of this one from now on; inside a
    /// [`Stream::scope`] for this thread only until it ends. It holds for the whole process.
    ///
    /// # Errors
    /// [`Error::Argument`] when the machine lacks the device.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Device, Stream};
    /// Device::cpu()?.set_default()?;
    /// assert_eq!(Stream::current()?.device()?, Device::cpu()?);
    /// # Ok(()) }
    /// ```
    pub fn set_default(&self) -> Result<()> {
        let stream = Stream::default_on(self)?;
        // SAFETY: op contract.
        unsafe { call!(mlx_set_default_device(self.as_raw())) }?;
        Current::replace(Some(stream));
        Ok(())
    }

    /// All that the library knows of this device, by key: on the CPU `architecture` and `device_name`, on a GPU also its
    /// memory and what else its maker tells.
    ///
    /// # Errors
    /// [`Error::Argument`] when the machine lacks the device.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Device, DeviceValue};
    /// let info = Device::cpu()?.info()?;
    /// assert!(matches!(&info["architecture"], DeviceValue::Text(name) if !name.is_empty()));
    /// # Ok(()) }
    /// ```
    pub fn info(&self) -> Result<BTreeMap<String, DeviceValue>> {
        expect_available("device_info", self)?;
        // SAFETY: op contract.
        let info = unsafe { call!(Info = mlx_device_info_get(self.as_raw())) }?;
        // SAFETY: op contract.
        let keys = unsafe { call!(Texts = mlx_device_info_get_keys(info.as_raw())) }?.to_texts()?;
        keys.into_iter()
            .map(|key| {
                let name = c_string("device_info", "key", &key)?;
                let (info, name) = (info.as_raw(), name.as_ptr());
                // SAFETY: op contract; the key ends in a NUL.
                let value = if unsafe { call!(copy bool = mlx_device_info_is_string(info, name)) }? {
                    ffi::prepare();
                    let mut out = std::ptr::null();
                    // SAFETY: op contract, with an output slot of one pointer, which points into `info`.
                    unsafe {
                        let status = sys::mlx_device_info_get_string(&raw mut out, info, name);
                        ffi::check("mlx_device_info_get_string", status)?;
                        DeviceValue::Text(text(out))
                    }
                } else {
                    // SAFETY: op contract; the key ends in a NUL.
                    DeviceValue::Number(unsafe { call!(copy usize = mlx_device_info_get_size(info, name)) }?)
                };
                Ok((key, value))
            })
            .collect()
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
    /// On the CPU a stream gets a thread of the operating system with its first work, for as long as the process lives. When
    /// a thread ends, its streams, the one that it never asked for included, pass to threads that come later; so threads
    /// may come and go, and as many streams remain as were in use at once. Work that a thread leaves behind is waited for
    /// by the next one. While a thread's locals are destroyed, arrays in them can no longer be evaluated.
    pub Stream(mlx_stream): mlx_stream_new, mlx_stream_set, mlx_stream_free
}

thread_local! {
    /// The stream that this thread's ops run on, found on first use.
    static CURRENT: Current = const { Current(RefCell::new(None)) };
    /// The same as ops pass it to C, or nothing; every op asks, so this needs no destructor.
    static RAW: Cell<sys::mlx_stream> = const { Cell::new(NO_STREAM) };
    /// Whether it is on the processor, once that was asked.
    static ON_CPU: Cell<Option<bool>> = const { Cell::new(None) };
}

struct Current(RefCell<Option<Stream>>);

impl Current {
    /// Makes `stream` the current one, and gives the one before. Where the thread's locals are gone already, there was
    /// none and will be none.
    fn replace(stream: Option<Stream>) -> Option<Stream> {
        let raw = stream.as_ref().map_or(NO_STREAM, Handle::as_raw);
        let earlier = CURRENT.try_with(|current| {
            RAW.set(raw);
            ON_CPU.set(None);
            current.0.replace(stream)
        });
        earlier.ok().flatten()
    }

    fn get() -> Option<Stream> {
        CURRENT.try_with(|current| current.0.borrow().clone()).ok().flatten()
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        RAW.set(NO_STREAM);
    }
}

impl Stream {
    /// A new stream of this thread's on `device`.
    ///
    /// # Errors
    /// [`Error::Argument`] when the machine lacks the device.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Device, Stream};
    /// let side = Stream::new(&Device::cpu()?)?;
    /// let a = side.scope(|| Array::scalar(1.0f32)?.exp())?;
    /// assert!(a.item::<f32>()? > 2.7);
    /// # Ok(()) }
    /// ```
    pub fn new(device: &Device) -> Result<Self> {
        expect_available("stream", device)?;
        if device.kind()? == DeviceKind::Cpu {
            return lease::another_stream();
        }
        // SAFETY: op contract.
        unsafe { call!(new Stream = mlx_stream_new_device(device.as_raw())) }
    }

    /// This thread's default stream on `device`: always the same one, so it costs nothing to ask again.
    ///
    /// # Errors
    /// [`Error::Argument`] when the machine lacks the device.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Device, Stream};
    /// let cpu = Device::cpu()?;
    /// assert_eq!(Stream::default_on(&cpu)?, Stream::default_on(&cpu)?);
    /// # Ok(()) }
    /// ```
    pub fn default_on(device: &Device) -> Result<Self> {
        expect_available("stream", device)?;
        if device.kind()? == DeviceKind::Cpu {
            return lease::default_stream();
        }
        // SAFETY: op contract.
        unsafe { call!(Stream = mlx_get_default_stream(device.as_raw())) }
    }

    /// The stream that this thread's ops run on.
    ///
    /// # Errors
    /// [`Error::Mlx`] when the library has no default stream.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Device, Stream};
    /// let side = Stream::new(&Device::cpu()?)?;
    /// side.scope(|| assert_eq!(Stream::current().unwrap(), side));
    /// # Ok(()) }
    /// ```
    pub fn current() -> Result<Self> {
        if let Some(stream) = Current::get() {
            return Ok(stream);
        }
        let stream = Self::default_on(&Device::default_device()?)?;
        Current::replace(Some(stream.clone()));
        Ok(stream)
    }

    /// Runs `body` with this as the thread's current stream, and puts the earlier one back, also after a panic.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Device, Stream};
    /// let side = Stream::new(&Device::cpu()?)?;
    /// let (a, b) = side.scope(|| {
    ///     let a = Array::scalar(3.0f32)?;
    ///     Ok::<_, mlx_core::Error>((a.square()?, a.exp()?))
    /// })?;
    /// assert_eq!((a.item::<f32>()?, b.size()), (9.0, 1));
    /// # Ok(()) }
    /// ```
    pub fn scope<R>(&self, body: impl FnOnce() -> R) -> R {
        struct Restore(Option<Stream>);
        impl Drop for Restore {
            fn drop(&mut self) {
                Current::replace(self.0.take());
            }
        }
        let _restore = Restore(Current::replace(Some(self.clone())));
        body()
    }

    /// Waits until all work given to this stream is done.
    ///
    /// # Errors
    /// [`Error::Mlx`] when that work failed.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Device, Stream};
    /// let side = Stream::new(&Device::cpu()?)?;
    /// let a = side.scope(|| Array::scalar(3.0f32)?.square())?;
    /// mlx_core::async_eval([&a])?;
    /// side.synchronize()?;
    /// assert!(a.is_available()?);
    /// # Ok(()) }
    /// ```
    pub fn synchronize(&self) -> Result<()> {
        // SAFETY: op contract.
        unsafe { call!(mlx_checked_synchronize(self.as_raw())) }
    }

    /// The device of this stream.
    ///
    /// # Errors
    /// [`Error::Mlx`] when the library cannot tell.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Device, Stream};
    /// let cpu = Device::cpu()?;
    /// assert_eq!(Stream::default_on(&cpu)?.device()?, cpu);
    /// # Ok(()) }
    /// ```
    pub fn device(&self) -> Result<Device> {
        // SAFETY: op contract.
        unsafe { call!(Device = mlx_stream_get_device(self.as_raw())) }
    }

    /// The number of this stream in the process.
    ///
    /// # Errors
    /// [`Error::Mlx`] when the library cannot tell.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Device, Stream};
    /// let side = Stream::new(&Device::cpu()?)?;
    /// assert_ne!(side.index()?, Stream::default_on(&Device::cpu()?)?.index()?);
    /// # Ok(()) }
    /// ```
    pub fn index(&self) -> Result<i32> {
        // SAFETY: op contract.
        unsafe { call!(copy c_int = mlx_stream_get_index(self.as_raw())) }
    }
}

/// The error of a device that the machine lacks.
fn expect_available(op: &'static str, device: &Device) -> Result<()> {
    if device.is_available()? {
        return Ok(());
    }
    Err(Error::argument(op, "device", format!("{device:?} is not available here")))
}

/// Waits until all work given to this thread's current stream is done.
///
/// # Errors
/// As [`Stream::synchronize`].
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// let a = mlx_core::Array::scalar(1.0f32)?.exp()?;
/// mlx_core::async_eval([&a])?;
/// mlx_core::synchronize()?;
/// assert!(a.is_available()?);
/// # Ok(()) }
/// ```
pub fn synchronize() -> Result<()> {
    Stream::current()?.synchronize()
}

/// The version of MLX that is linked, such as `0.32.2`.
///
/// # Errors
/// [`Error::Mlx`] when memory is exhausted.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// assert_eq!(mlx_core::version()?.split('.').count(), 3);
/// # Ok(()) }
/// ```
pub fn version() -> Result<String> {
    // SAFETY: op contract.
    unsafe { call!(Text = mlx_version()) }.map(|text| text.to_text())
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
#[inline]
pub(crate) fn stream() -> sys::mlx_stream {
    let raw = RAW.get();
    if raw.ctx.is_null() { first_stream() } else { raw }
}

#[cold]
fn first_stream() -> sys::mlx_stream {
    // What goes wrong here is told by the op, which is given no stream.
    let _ = Stream::current();
    RAW.get()
}

/// Whether the thread's current stream is on the processor. Asked for every op, so the answer is kept.
pub(crate) fn on_cpu() -> bool {
    if let Some(answer) = ON_CPU.get() {
        return answer;
    }
    let answer = Stream::current()
        .and_then(|stream| stream.device())
        .and_then(|device| device.kind())
        .is_ok_and(|kind| kind == DeviceKind::Cpu);
    if !RAW.get().ctx.is_null() {
        ON_CPU.set(Some(answer));
    }
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

    #[test]
    fn devices_tell_what_they_are() {
        let cpu = Device::cpu().unwrap();
        let info = cpu.info().unwrap();
        assert!(
            matches!(info.get("device_name"), Some(DeviceValue::Text(name)) if !name.is_empty()),
            "{info:?}"
        );
        assert_eq!(Device::count(DeviceKind::Cpu).unwrap(), 1);
        let gpus = Device::count(DeviceKind::Gpu).unwrap();
        let beyond = Device::new(DeviceKind::Gpu, i32::try_from(gpus).unwrap()).unwrap();
        assert!(!beyond.is_available().unwrap());
        for absent in [beyond, Device::new(DeviceKind::Cpu, i32::MAX).unwrap()] {
            assert!(absent.info().unwrap_err().to_string().contains("not available"));
            assert!(absent.set_default().unwrap_err().to_string().contains("not available"));
        }
        for index in 0..gpus {
            let gpu = Device::new(DeviceKind::Gpu, i32::try_from(index).unwrap()).unwrap();
            assert!(gpu.info().unwrap().values().any(|value| matches!(value, DeviceValue::Number(_))));
        }
    }

    #[test]
    fn default_device_is_that_of_this_thread_and_of_new_ones() {
        // Another thread than those of other tests, whose streams stay what they are.
        std::thread::spawn(|| {
            let before = Device::default_device().unwrap();
            let side = Stream::new(&Device::cpu().unwrap()).unwrap();
            side.scope(|| {
                before.set_default().unwrap();
                assert_ne!(Stream::current().unwrap(), side);
            });
            assert_eq!(Device::default_device().unwrap(), before);
            assert_eq!(Stream::current().unwrap().device().unwrap(), before);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn synchronising_waits_for_what_was_started() {
        let a = crate::Array::ones(&[1000], crate::Dtype::Float32).unwrap().exp().unwrap();
        crate::async_eval([&a]).unwrap();
        synchronize().unwrap();
        assert!(a.is_available().unwrap());
        assert!(version().unwrap().starts_with("0."));
    }

    #[test]
    fn what_is_metals_alone_is_refused_elsewhere() {
        use crate::metal;
        if metal::is_available().unwrap() {
            return;
        }
        for error in [metal::start_capture("a.gputrace").unwrap_err(), metal::stop_capture().unwrap_err()] {
            assert!(error.to_string().contains("no Metal"), "{error}");
        }
        // SAFETY: nothing is loaded where there is no Metal.
        assert!(unsafe { metal::set_metallib_path("%n%s") }.is_err());
        let _ = metal::metallib_path().unwrap();
    }
}
