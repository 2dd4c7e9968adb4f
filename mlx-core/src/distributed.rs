// SPDX-License-Identifier: EUPL-1.2
//! Several processes that compute together: groups, and what their members send each other.
//!
//! How a process finds the others is told by environment variables, which the launcher sets (`mlx.launch` of MLX's Python
//! package, `mpirun`). For [`Backend::Ring`], plain TCP connections from each process to the next, these are `MLX_RANK`, the
//! number of this process, and `MLX_HOSTFILE`, a JSON file with the addresses of each: `[["10.0.0.1:5000"], ["10.0.0.2:5000"]]`.
//!
//! Collectives are ops: lazy, computed with what needs them, and in the same order in every process. They run on a CPU
//! stream with the ring and MPI. Between processes nothing can be checked here, so it is the program's part that
//!
//! - all members make the same calls, with the same shapes and dtypes, in the same order: shapes that differ give wrong
//!   values, and a call that one member leaves out lets the others wait without end;
//! - members stay alive: the ring gives up after some seconds and the read of a result fails, but a send or a receive after
//!   that may wait without end, and so does a process whose peers never start.
//!
//! What the library says of lost connections it also prints to the standard error stream.
//!
//! ```
//! # fn main() -> mlx_core::Result<()> {
//! use mlx_core::{Array, distributed::{Backend, Group}};
//! // Alone where no launcher has set anything.
//! let group = Group::init_or_alone(Backend::Any)?;
//! let share = Array::from_slice(&[1.0f32, 2.0], &[2])?;
//! let mean = (&group.all_sum(&share)? / group.size() as f32)?;
//! assert_eq!(mean.to_vec::<f32>()?, [1.0, 2.0]);
//! # Ok(()) }
//! ```

use std::ffi::{CStr, c_int};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::device::stream;
use crate::error::{Error, Result};
use crate::ffi::{self, Handle, call, handle, sys};
use crate::ops::node::fits;
use crate::{Array, Dtype};

/// How the members of a group reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// The first of the others for which the environment has what it needs.
    Any,
    /// TCP connections from each process to the next.
    Ring,
    /// The MPI library of the machine.
    Mpi,
    /// NVIDIA's library for CUDA.
    Nccl,
    /// Remote direct memory access over Thunderbolt, on macOS.
    Jaccl,
}

impl Backend {
    const fn name(self) -> &'static CStr {
        match self {
            Self::Any => c"any",
            Self::Ring => c"ring",
            Self::Mpi => c"mpi",
            Self::Nccl => c"nccl",
            Self::Jaccl => c"jaccl",
        }
    }

    /// Whether this machine, with this build of the library, has the backend. A group may still need more.
    ///
    /// # Examples
    /// ```
    /// use mlx_core::distributed::Backend;
    /// assert_eq!(Backend::Any.is_available(), Backend::Ring.is_available() || Backend::Mpi.is_available());
    /// ```
    #[must_use]
    pub fn is_available(self) -> bool {
        let _lock = lock();
        ffi::prepare();
        // SAFETY: the name is a constant that ends in a NUL.
        unsafe { sys::mlx_distributed_is_available(self.name().as_ptr()) }
    }
}

/// The library keeps what it knows of backends in tables without a lock.
fn lock() -> std::sync::MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

handle! {
    /// Processes that compute together, of which this is one.
    pub Group(mlx_distributed_group): mlx_distributed_group_new, mlx_distributed_group_free
}

impl Group {
    /// The group of all processes that `backend` finds. Waits until they are connected.
    ///
    /// A process has one such group for each backend: later calls give the first one again.
    ///
    /// - source: `mlx_distributed_init`
    ///
    /// # Errors
    /// [`Error::Argument`] when the backend is not available, or what the environment says of the ring is not in order;
    /// [`Error::Mlx`] when the others cannot be reached.
    ///
    /// # Examples
    /// ```
    /// use mlx_core::distributed::{Backend, Group};
    /// // No launcher has started this process.
    /// assert!(Group::init(Backend::Ring).is_err());
    /// ```
    pub fn init(backend: Backend) -> Result<Self> {
        if !backend.is_available() {
            return Err(Error::argument(OP, "backend", format!("{backend:?} is not available here")));
        }
        Self::start(backend, true)
    }

    /// As [`init`](Self::init), but a group of this process alone when the backend is not available or not set up. In
    /// such a group collectives give back what they are given, and sending and receiving are errors.
    ///
    /// A group that was got so is the process's group for the backend from then on.
    ///
    /// # Errors
    /// [`Error::Argument`] and [`Error::Mlx`] when the environment describes a group that cannot be had.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::distributed::{Backend, Group};
    /// let group = Group::init_or_alone(Backend::Mpi)?;
    /// assert_eq!((group.rank(), group.size()), (0, 1));
    /// # Ok(()) }
    /// ```
    pub fn init_or_alone(backend: Backend) -> Result<Self> {
        Self::start(backend, false)
    }

    fn start(backend: Backend, strict: bool) -> Result<Self> {
        if matches!(backend, Backend::Any | Backend::Ring) {
            check_ring()?;
        }
        let _lock = lock();
        // SAFETY: op contract; the name is a constant that ends in a NUL.
        let group = unsafe { call!(Group = mlx_distributed_init(strict, backend.name().as_ptr())) }?;
        if strict && backend == Backend::Ring && group.size() < 2 {
            let message = "the process was made a group of its own before, by a call that allows it";
            return Err(Error::argument(OP, "backend", message));
        }
        Ok(group)
    }

    /// The number of this process in the group, from 0 on.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::distributed::{Backend, Group};
    /// let group = Group::init_or_alone(Backend::Any)?;
    /// assert!((0..group.size()).contains(&group.rank()));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn rank(&self) -> i32 {
        ffi::prepare();
        // SAFETY: op contract.
        unsafe { sys::mlx_distributed_group_rank(self.as_raw()) }
    }

    /// How many processes the group has.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::distributed::{Backend, Group};
    /// assert_eq!(Group::init_or_alone(Backend::Any)?.size(), 1);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn size(&self) -> i32 {
        ffi::prepare();
        // SAFETY: op contract.
        unsafe { sys::mlx_distributed_group_size(self.as_raw()) }
    }

    /// The part of this group whose members give the same `colour`. All members must call this.
    ///
    /// - `key`: members are numbered in the order of their keys; those without one as in this group
    /// - source: `mlx_distributed_group_split`
    ///
    /// # Errors
    /// [`Error::Argument`] when `key` is negative, [`Error::Mlx`] when the backend cannot: the ring cannot, nor can a group
    /// of one.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::distributed::{Backend, Group};
    /// let group = Group::init_or_alone(Backend::Any)?;
    /// if group.size() == 1 {
    ///     assert!(group.split(0, None).is_err());
    /// }
    /// # Ok(()) }
    /// ```
    pub fn split(&self, colour: i32, key: Option<i32>) -> Result<Self> {
        if let Some(key) = key.filter(|&key| key < 0) {
            return Err(Error::argument("distributed_split", "key", format!("{key} is negative")));
        }
        // SAFETY: op contract.
        unsafe { call!(Group = mlx_distributed_group_split(self.as_raw(), colour, key.unwrap_or(-1))) }
    }

    /// The sum of all members' arrays, in each member.
    ///
    /// - shape: the same in all members, kept
    /// - dtype: kept
    /// - source: `mlx_distributed_all_sum`
    ///
    /// # Errors
    /// [`Error::Mlx`] when the backend refuses. A lost connection fails the evaluation.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, distributed::{Backend, Group}};
    /// let group = Group::init_or_alone(Backend::Any)?;
    /// let members = group.all_sum(&Array::scalar(1i32)?)?;
    /// assert_eq!(members.item::<i32>()?, group.size());
    /// # Ok(()) }
    /// ```
    pub fn all_sum(&self, x: &Array) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_distributed_all_sum(x.as_raw(), self.as_raw(), stream())) }
    }

    /// The greatest of all members' values, element by element, in each member.
    ///
    /// - shape: the same in all members, kept
    /// - dtype: kept
    /// - source: `mlx_distributed_all_max`
    ///
    /// # Errors
    /// As [`all_sum`](Self::all_sum).
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, distributed::{Backend, Group}};
    /// let group = Group::init_or_alone(Backend::Any)?;
    /// let last = group.all_max(&Array::scalar(group.rank())?)?;
    /// assert_eq!(last.item::<i32>()?, group.size() - 1);
    /// # Ok(()) }
    /// ```
    pub fn all_max(&self, x: &Array) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_distributed_all_max(x.as_raw(), self.as_raw(), stream())) }
    }

    /// The least of all members' values, element by element, in each member.
    ///
    /// - shape: the same in all members, kept
    /// - dtype: kept
    /// - source: `mlx_distributed_all_min`
    ///
    /// # Errors
    /// As [`all_sum`](Self::all_sum).
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, distributed::{Backend, Group}};
    /// let group = Group::init_or_alone(Backend::Any)?;
    /// assert_eq!(group.all_min(&Array::scalar(group.rank())?)?.item::<i32>()?, 0);
    /// # Ok(()) }
    /// ```
    pub fn all_min(&self, x: &Array) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_distributed_all_min(x.as_raw(), self.as_raw(), stream())) }
    }

    /// All members' arrays, one after the other along the first axis, in each member.
    ///
    /// - shape: `[N, ..]`, the same in all members → `[size · N, ..]`; scalars → `[size]`
    /// - dtype: kept
    /// - source: `mlx_distributed_all_gather`
    ///
    /// # Errors
    /// As [`all_sum`](Self::all_sum); [`Error::Shape`] when the result does not fit in memory.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, distributed::{Backend, Group}};
    /// let group = Group::init_or_alone(Backend::Any)?;
    /// let ranks = group.all_gather(&Array::from_slice(&[group.rank()], &[1])?)?;
    /// assert_eq!(ranks.to_vec::<i32>()?, (0..group.size()).collect::<Vec<_>>());
    /// # Ok(()) }
    /// ```
    pub fn all_gather(&self, x: &Array) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_distributed_all_gather(x.as_raw(), self.as_raw(), stream())) }
    }

    /// This member's part of the sum of all members' arrays, cut into as many along the first axis.
    ///
    /// - shape: `[size · N, ..]`, the same in all members → `[N, ..]`
    /// - dtype: kept
    /// - source: `mlx_distributed_sum_scatter`
    ///
    /// # Errors
    /// [`Error::Mlx`] when the first axis is not a multiple of the members. The ring cannot do this: there the evaluation
    /// fails.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, distributed::{Backend, Group}};
    /// let group = Group::init_or_alone(Backend::Any)?;
    /// let part = group.sum_scatter(&Array::from_slice(&[1.0f32, 2.0], &[2])?)?;
    /// assert_eq!(part.shape(), [2 / group.size()]);
    /// # Ok(()) }
    /// ```
    pub fn sum_scatter(&self, x: &Array) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_distributed_sum_scatter(x.as_raw(), self.as_raw(), stream())) }
    }

    /// Sends an array to member `to`, which must receive one of this shape and dtype. Gives it back: it is sent when that
    /// is evaluated.
    ///
    /// - source: `mlx_distributed_send`
    ///
    /// # Errors
    /// [`Error::Argument`] when `to` is no other member. The ring reaches neighbours only: else the evaluation fails.
    ///
    /// # Examples
    /// ```no_run
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Dtype, distributed::{Backend, Group}};
    /// let group = Group::init(Backend::Ring)?;
    /// match group.rank() {
    ///     0 => group.send(&Array::scalar(1.0f32)?, 1)?.eval()?,
    ///     1 => assert_eq!(group.recv(&[], Dtype::Float32, 0)?.item::<f32>()?, 1.0),
    ///     _ => {}
    /// }
    /// # Ok(()) }
    /// ```
    pub fn send(&self, x: &Array, to: i32) -> Result<Array> {
        self.expect_other("distributed_send", "to", to)?;
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_distributed_send(x.as_raw(), to, self.as_raw(), stream())) }
    }

    /// The array that member `from` sends, which must be of this shape and dtype.
    ///
    /// - source: `mlx_distributed_recv`
    ///
    /// # Errors
    /// [`Error::Argument`] when `from` is no other member, [`Error::Shape`] when a dimension is negative or the array does
    /// not fit in memory. The ring reaches neighbours only: else the evaluation fails.
    ///
    /// # Examples
    /// See [`send`](Self::send).
    pub fn recv(&self, shape: &[i32], dtype: Dtype, from: i32) -> Result<Array> {
        const OP: &str = "distributed_recv";
        self.expect_other(OP, "from", from)?;
        fits(OP, shape, dtype)?;
        // SAFETY: op contract.
        unsafe {
            call!(
                Array = mlx_distributed_recv(
                    shape.as_ptr(),
                    shape.len(),
                    dtype.to_raw(),
                    from,
                    self.as_raw(),
                    stream(),
                )
            )
        }
    }

    /// The array that member `from` sends, which must be of the shape and dtype of `x`.
    ///
    /// - source: `mlx_distributed_recv_like`
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    ///
    /// # Examples
    /// ```no_run
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, distributed::{Backend, Group}};
    /// let group = Group::init(Backend::Ring)?;
    /// let x = Array::from_slice(&[1.0f32, 2.0], &[2])?;
    /// let y = if group.rank() == 0 { group.send(&x, 1)? } else { group.recv_like(&x, 0)? };
    /// y.eval()?;
    /// # Ok(()) }
    /// ```
    pub fn recv_like(&self, x: &Array, from: i32) -> Result<Array> {
        self.expect_other("distributed_recv_like", "from", from)?;
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_distributed_recv_like(x.as_raw(), from, self.as_raw(), stream())) }
    }

    fn expect_other(&self, op: &'static str, argument: &'static str, member: i32) -> Result<()> {
        let (rank, size) = (self.rank(), self.size());
        if (0..size).contains(&member) && member != rank {
            return Ok(());
        }
        let message = format!("member {rank} of {size} was told {member}, which is no other member");
        Err(Error::argument(op, argument, message))
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("rank", &self.rank()).field("size", &self.size()).finish()
    }
}

const OP: &str = "distributed_init";

/// Checks what the environment says of the ring, if it says all of it.
///
/// The library takes a rank that is no number for 0 and one below 0 as it is, divides by the number of hosts, and waits
/// without end for the others of a group of one.
fn check_ring() -> Result<()> {
    let variable = |name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    match (variable("MLX_RANK"), variable("MLX_HOSTFILE")) {
        (Some(rank), Some(file)) => {
            let hosts = hosts(Path::new(&file))?;
            let known = rank.parse::<u16>().is_ok_and(|rank| usize::from(rank) < hosts);
            if known && rank.bytes().all(|byte| byte.is_ascii_digit()) {
                return Ok(());
            }
            let message = format!("expected a number below the {hosts} hosts, found {rank:?}");
            Err(Error::argument(OP, "MLX_RANK", message))
        }
        _ => Ok(()),
    }
}

/// How many hosts a file names, if it is one that the ring understands.
fn hosts(path: &Path) -> Result<usize> {
    /// Far more than the addresses of any group take.
    const MOST: u64 = 1 << 24;
    let wrong = |message: &str| Error::argument(OP, "MLX_HOSTFILE", format!("{}: {message}", path.display()));
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MOST).read_to_string(&mut text))
        .map_err(|source| Error::io(path, source))?;
    let json: Value = serde_json::from_str(&text).map_err(|e| wrong(&format!("not JSON: {e}")))?;
    let is_host = |host: &Value| {
        host.as_array().is_some_and(|addresses| {
            !addresses.is_empty() && addresses.iter().all(|address| address.as_str().is_some_and(has_port))
        })
    };
    let hosts = json.as_array().ok_or_else(|| wrong("expected a list of hosts"))?;
    if !hosts.iter().all(is_host) {
        return Err(wrong("expected each host to be a list of addresses such as \"10.0.0.1:5000\""));
    }
    match hosts.len() {
        0 | 1 => Err(wrong("expected two hosts at least")),
        count if c_int::try_from(count).is_err() => Err(wrong("too many hosts")),
        count => Ok(count),
    }
}

fn has_port(address: &str) -> bool {
    address.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty()
            && port.bytes().all(|byte| byte.is_ascii_digit())
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_files_that_the_ring_would_stumble_over_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hosts.json");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            hosts(&path)
        };
        assert_eq!(read(r#"[["127.0.0.1:5000"], ["127.0.0.1:5001", "10.0.0.1:5002"]]"#).unwrap(), 2);
        for text in [
            "",
            "nonsense",
            "{}",
            "[]",
            "[3, 4]",
            r#"["127.0.0.1:5000", "127.0.0.1:5001"]"#,
            r#"[["127.0.0.1:5000"]]"#,
            r#"[["127.0.0.1:5000"], []]"#,
            r#"[["127.0.0.1:5000"], [3]]"#,
            r#"[["127.0.0.1:5000"], ["127.0.0.1"]]"#,
            r#"[["127.0.0.1:5000"], ["127.0.0.1:0"]]"#,
            r#"[["127.0.0.1:5000"], ["127.0.0.1:+1"]]"#,
            r#"[["127.0.0.1:5000"], [":5001"]]"#,
            r#"[["127.0.0.1:5000"], ["127.0.0.1:65536"]]"#,
        ] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.contains("hosts.json"), "{text}: {message}");
        }
        assert!(hosts(&dir.path().join("absent")).unwrap_err().to_string().contains("absent"));
    }
}
