// SPDX-License-Identifier: EUPL-1.2
//! The library that is linked is the one that the bindings describe, and it is found with no help.

use std::ffi::{CStr, CString, c_char, c_void};
use std::process::Command;
use std::ptr::null_mut;
use std::sync::{Mutex, Once};

use mlx_sys::*;

static MESSAGES: Mutex<Vec<String>> = Mutex::new(Vec::new());

unsafe extern "C" fn keep_message(message: *const c_char, _: *mut c_void) {
    // SAFETY: mlx-c hands over a string that ends in a zero and lives during the call.
    let text = unsafe { CStr::from_ptr(message) };
    // No panic may leave a function that C calls.
    if let Ok(mut messages) = MESSAGES.lock() {
        messages.push(text.to_string_lossy().into_owned());
    }
}

/// The handler that mlx-c begins with would end the process.
fn keep_messages() {
    static ONCE: Once = Once::new();
    // SAFETY: the handler is a function of the program, needs no data, and is set before any other call.
    ONCE.call_once(|| unsafe { mlx_set_error_handler(Some(keep_message), null_mut(), None) });
}

#[test]
fn handles_are_one_pointer() {
    for size in
        [size_of::<mlx_array>(), size_of::<mlx_stream>(), size_of::<mlx_device>(), size_of::<mlx_string>()]
    {
        assert_eq!(size, size_of::<*mut c_void>());
    }
}

#[test]
fn the_library_is_the_pinned_version() {
    keep_messages();
    // SAFETY: the output slot is an owned handle, read before it is freed.
    let version = unsafe {
        let mut version = mlx_string_new();
        assert_eq!(mlx_version(&mut version), 0);
        let text = CStr::from_ptr(mlx_string_data(version)).to_string_lossy().into_owned();
        mlx_string_free(version);
        text
    };
    assert_eq!(version, "0.32.2");
}

#[test]
fn numbers_go_through_and_come_back() {
    keep_messages();
    let data = [1.0f32, 2.0, 3.0];
    // SAFETY: shape and data outlive the call that copies them; handles are freed once; the pointer to the result is
    // read after its evaluation and before it is freed, for as many elements as the array says it has.
    let sum = unsafe {
        let stream = mlx_default_cpu_stream_new();
        let array = mlx_array_new_data(data.as_ptr().cast(), [3].as_ptr(), 1, MLX_FLOAT32);
        let mut sum = mlx_array_new();
        assert_eq!(mlx_add(&mut sum, array, array, stream), 0);
        assert_eq!(mlx_array_eval(sum), 0);
        assert_eq!(mlx_array_dtype(sum), MLX_FLOAT32);
        let values = std::slice::from_raw_parts(mlx_array_data_float32(sum), mlx_array_size(sum)).to_vec();
        for handle in [array, sum] {
            mlx_array_free(handle);
        }
        mlx_stream_free(stream);
        values
    };
    assert_eq!(sum, [2.0, 4.0, 6.0]);
}

#[test]
fn format_directives_in_a_message_are_only_text() {
    keep_messages();
    let path = "nowhere/%s%n%p%d.safetensors";
    let file = CString::new(path).unwrap();
    // SAFETY: the output slots are owned handles, freed once, and the path outlives the call.
    unsafe {
        let stream = mlx_default_cpu_stream_new();
        let (mut arrays, mut metadata) = (mlx_map_string_to_array_new(), mlx_map_string_to_string_new());
        assert_ne!(mlx_load_safetensors(&mut arrays, &mut metadata, file.as_ptr(), stream), 0);
        mlx_map_string_to_array_free(arrays);
        mlx_map_string_to_string_free(metadata);
        mlx_stream_free(stream);
    }
    let messages = MESSAGES.lock().unwrap();
    assert!(messages.iter().any(|message| message.contains(path)), "{messages:?}");
}

#[test]
fn a_program_needs_no_environment_variable() {
    let exe = std::env::current_exe().unwrap();
    let output = Command::new(exe)
        .args(["--exact", "numbers_go_through_and_come_back"])
        .env_clear()
        .current_dir(std::env::temp_dir())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The reference BLAS in MLX's wheel is fifty times slower, and nothing but the order of lookup keeps it out.
#[cfg(target_os = "linux")]
#[test]
fn matrix_products_go_to_openblas() {
    #[repr(C)]
    struct DlInfo {
        file: *const c_char,
        base: *mut c_void,
        symbol: *const c_char,
        address: *mut c_void,
    }
    unsafe extern "C" {
        fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
        fn dladdr(address: *const c_void, info: *mut DlInfo) -> i32;
    }
    keep_messages();
    for name in [c"cblas_sgemm", c"cblas_dgemm", c"cblas_cgemm"] {
        let mut info = DlInfo { file: null_mut(), base: null_mut(), symbol: null_mut(), address: null_mut() };
        // SAFETY: a null handle means the default order of lookup, which is the one that libmlx's own calls follow; the
        // structure is the C library's `Dl_info`, and the string in it belongs to the loaded library.
        let file = unsafe {
            let address = dlsym(null_mut(), name.as_ptr());
            assert!(!address.is_null(), "{name:?} is nowhere");
            assert_ne!(dladdr(address, &mut info), 0);
            CStr::from_ptr(info.file).to_string_lossy().into_owned()
        };
        assert!(file.ends_with("libmlxc.so"), "{name:?} is taken from {file}");
    }
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    assert!(maps.contains("libscipy_openblas.so"), "OpenBLAS is not loaded");
}
