// SPDX-License-Identifier: EUPL-1.2
//! Groups: alone, refused, and two processes over the ring, which are this binary started again.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use mlx_core::distributed::{Backend, Group};
use mlx_core::{Array, Complex64, Dtype, Error, Result, bf16, eval, f16, transform};

/// Tells a process that it is a member, and what it is to do.
const ROLE: &str = "MLX_CORE_TEST_MEMBER";
/// How a member ends that could not join: its port may have been taken meanwhile.
const NOT_JOINED: i32 = 7;
/// How often a process is asked whether it has ended, 50 ms apart.
const POLLS: u32 = 2400;

#[test]
fn a_process_alone_is_a_group_of_one() -> Result<()> {
    let group = Group::init_or_alone(Backend::Any)?;
    assert_eq!((group.rank(), group.size()), (0, 1));
    assert_eq!(format!("{group:?}"), "Group { rank: 0, size: 1 }");
    let x = Array::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2])?;
    for same in [
        group.all_sum(&x)?,
        group.all_max(&x)?,
        group.all_min(&x)?,
        group.all_gather(&x)?,
        group.sum_scatter(&x)?,
    ] {
        assert_eq!((same.shape(), same.to_vec::<f32>()?), (&[2, 2][..], x.to_vec::<f32>()?));
    }
    for member in [0, 1, -1, i32::MIN, i32::MAX] {
        assert!(matches!(group.send(&x, member).unwrap_err(), Error::Argument { .. }));
        assert!(matches!(group.recv_like(&x, member).unwrap_err(), Error::Argument { .. }));
        assert!(group.recv(&[2], Dtype::Float32, member).is_err());
    }
    assert!(group.split(0, None).is_err() && group.split(i32::MIN, Some(-1)).is_err());
    Ok(())
}

#[test]
fn backends_that_are_not_there_are_refused() {
    assert!(Backend::Ring.is_available() && Backend::Any.is_available());
    let error = Group::init(Backend::Ring).unwrap_err().to_string();
    assert!(error.starts_with("distributed_init"), "{error}");
    for backend in [Backend::Mpi, Backend::Nccl, Backend::Jaccl] {
        if !backend.is_available() {
            let error = Group::init(backend).unwrap_err();
            assert!(matches!(error, Error::Argument { argument: "backend", .. }), "{error}");
            assert_eq!(Group::init_or_alone(backend).unwrap().size(), 1);
        }
    }
}

#[test]
fn an_environment_that_is_not_in_order_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let good = r#"[["127.0.0.1:9"], ["127.0.0.1:10"]]"#;
    let cases = [
        ("0", "nonsense"),
        ("0", "[]"),
        ("0", r#"[["127.0.0.1:9"]]"#),
        ("-1", good),
        ("x", good),
        ("", good),
        ("2", good),
        ("99999999999999999999", good),
    ];
    let members: Vec<Child> = cases
        .iter()
        .enumerate()
        .map(|(i, (rank, hosts))| {
            let file = dir.path().join(format!("{i}.json"));
            std::fs::write(&file, hosts).unwrap();
            start("refused", rank, &file)
        })
        .chain([start("refused", "0", &dir.path().join("absent.json"))])
        .collect();
    for ((status, said), case) in members.into_iter().map(end).zip(cases.iter().chain([&("0", "no file")])) {
        assert!(status.success(), "{case:?}: {status}\n{said}");
    }
}

#[test]
fn two_processes_compute_together() {
    together("collectives");
}

#[test]
fn a_member_that_dies_fails_what_the_others_read() {
    together("death");
}

/// Not a test of its own: what the other tests start. Does nothing in a process that is no member.
#[test]
fn member() {
    let Ok(role) = std::env::var(ROLE) else { return };
    if role == "refused" {
        for backend in [Backend::Ring, Backend::Any] {
            let error = Group::init(backend).unwrap_err();
            assert!(matches!(error, Error::Argument { .. } | Error::Io { .. }), "{error}");
            assert!(Group::init_or_alone(backend).is_err());
        }
        return;
    }
    let Ok(group) = Group::init(Backend::Ring) else { std::process::exit(NOT_JOINED) };
    assert_eq!(group.size(), 2);
    match role.as_str() {
        "collectives" => collectives(&group).unwrap(),
        "death" => death(&group).unwrap(),
        other => panic!("no role {other}"),
    }
}

fn collectives(group: &Group) -> Result<()> {
    let rank = group.rank();
    assert_eq!(Group::init_or_alone(Backend::Any)?.size(), 2);
    let mine = rank as f32;
    let x = Array::from_slice(&[1.0, mine, -mine, 4.0], &[2, 2])?;
    assert_eq!(group.all_sum(&x)?.to_vec::<f32>()?, [2.0, 1.0, -1.0, 8.0]);
    assert_eq!(group.all_max(&x)?.to_vec::<f32>()?, [1.0, 1.0, 0.0, 4.0]);
    assert_eq!(group.all_min(&x)?.to_vec::<f32>()?, [1.0, 0.0, -1.0, 4.0]);
    let gathered = group.all_gather(&x)?;
    assert_eq!(gathered.shape(), [4, 2]);
    assert_eq!(gathered.to_vec::<f32>()?, [1.0, 0.0, 0.0, 4.0, 1.0, 1.0, -1.0, 4.0]);
    // A view, a scalar, nothing, and more than one piece of the wire.
    assert_eq!(group.all_sum(&x.transpose()?)?.to_vec::<f32>()?, [2.0, -1.0, 1.0, 8.0]);
    assert_eq!(group.all_sum(&Array::scalar(rank + 1)?)?.item::<i32>()?, 3);
    assert_eq!(group.all_gather(&Array::scalar(rank)?)?.to_vec::<i32>()?, [0, 1]);
    let nothing = Array::from_slice::<f32>(&[], &[0, 3])?;
    assert!(group.all_sum(&nothing)?.to_vec::<f32>()?.is_empty());
    assert_eq!(group.all_gather(&nothing)?.shape(), [0, 3]);
    let large = Array::full(&[1_000_000], f64::from(rank + 1), Dtype::Float32)?;
    assert!(group.all_sum(&large)?.as_slice::<f32>()?.iter().all(|&x| x == 3.0));
    // Every kind of element.
    fn sums<T: mlx_core::Element>(group: &Group, one: T, two: T) -> Result<()> {
        assert_eq!(group.all_sum(&Array::scalar(one)?)?.item::<T>()?, two);
        assert_eq!(group.all_max(&Array::scalar(one)?)?.item::<T>()?, one);
        Ok(())
    }
    sums(group, true, true)?;
    sums(group, 1u8, 2)?;
    sums(group, 1i64 << 40, 1 << 41)?;
    sums(group, f16::ONE, f16::from_f32(2.0))?;
    sums(group, bf16::ONE, bf16::from_f32(2.0))?;
    sums(group, 1.5f64, 3.0)?;
    sums(group, Complex64 { re: 1.0, im: 2.0 }, Complex64 { re: 2.0, im: 4.0 })?;
    // From one to the other and back.
    let (other, note) = (1 - rank, Array::from_slice(&[1i16, 2, 3], &[3])?);
    if rank == 0 {
        group.send(&note, other)?.eval()?;
        assert_eq!(group.recv_like(&note, other)?.to_vec::<i16>()?, [2, 4, 6]);
    } else {
        let received = group.recv(&[3], Dtype::Int16, other)?;
        let doubled = (&received + &received)?;
        group.send(&doubled, other)?.eval()?;
        assert_eq!(received.to_vec::<i16>()?, [1, 2, 3]);
    }
    // The derivative of a sum over members is the sum of theirs.
    let (group_of_grad, cotangent) = (Group::init(Backend::Ring)?, Array::full(&[2], 3.0, Dtype::Float32)?);
    let summed = move |x: &[Array]| Ok(vec![group_of_grad.all_sum(&x[0].square()?)?]);
    let point = Array::from_slice(&[1.0f32, 2.0], &[2])?;
    let (values, gradients) = transform::vjp(summed, &[point], &[cotangent])?;
    assert_eq!(values[0].to_vec::<f32>()?, [2.0, 8.0]);
    assert_eq!(gradients[0].shape(), [2]);
    // What the ring cannot do, and what no group can.
    assert!(group.split(rank, None).is_err());
    assert!(group.sum_scatter(&x).and_then(|part| part.eval()).is_err());
    assert!(group.sum_scatter(&Array::scalar(1.0f32)?).is_err());
    assert!(group.sum_scatter(&Array::from_slice(&[1.0f32; 3], &[3])?).is_err());
    for member in [rank, 2, -1, i32::MAX] {
        assert!(matches!(group.send(&x, member).unwrap_err(), Error::Argument { argument: "to", .. }));
        assert!(matches!(group.recv_like(&x, member).unwrap_err(), Error::Argument { argument: "from", .. }));
    }
    for shape in [&[-3][..], &[i32::MIN], &[i32::MAX, i32::MAX], &[2, -1]] {
        assert!(matches!(group.recv(shape, Dtype::Float32, other).unwrap_err(), Error::Shape { .. }));
    }
    // The group is as good as before.
    eval([&group.all_sum(&x)?])
}

fn death(group: &Group) -> Result<()> {
    let x = Array::from_slice(&[1.0f32; 8], &[8])?;
    assert_eq!(group.all_sum(&x)?.to_vec::<f32>()?, [2.0; 8]);
    if group.rank() == 1 {
        std::process::exit(0);
    }
    let lost = group.all_sum(&x)?;
    assert!(lost.eval().is_err());
    // It does not become a value by being read again.
    assert!(lost.to_vec::<f32>().is_err() && (&lost + &x)?.eval().is_err());
    // The rest of the program goes on.
    assert_eq!((&x + &x)?.to_vec::<f32>()?, [2.0; 8]);
    Ok(())
}

/// Runs `role` in two processes.
fn together(role: &str) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hosts.json");
    let mut ends = Vec::new();
    for _ in 0..5 {
        let ports = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        let hosts = ports.each_ref().map(|port| [port.local_addr().unwrap().to_string()]);
        drop(ports);
        std::fs::write(&file, serde_json::to_string(&hosts).unwrap()).unwrap();
        let mut members = ["0", "1"].map(|rank| start(role, rank, &file));
        // A member that cannot join leaves the other waiting.
        for _ in 0..POLLS {
            let states = members.each_mut().map(|member| member.try_wait().unwrap());
            let lost = states.iter().flatten().any(|status| status.code() == Some(NOT_JOINED));
            if lost || states.iter().all(Option::is_some) {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        ends = members
            .into_iter()
            .map(|mut member| {
                let _ = member.kill();
                end(member)
            })
            .collect();
        if ends.iter().all(|(status, _)| status.code() != Some(NOT_JOINED)) {
            break;
        }
    }
    assert!(ends.iter().all(|(status, _)| status.success()), "{ends:#?}");
}

fn start(role: &str, rank: &str, hosts: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "distributed::member", "--test-threads", "1"])
        .env(ROLE, role)
        .env("MLX_RANK", rank)
        .env("MLX_HOSTFILE", hosts)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// How a process ended, which is made to after a while, and what it said.
fn end(mut member: Child) -> (ExitStatus, String) {
    for _ in 0..POLLS {
        if member.try_wait().unwrap().is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let _ = member.kill();
    let output = member.wait_with_output().unwrap();
    (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
}
