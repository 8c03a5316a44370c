//! As a container with `read_only`, `user`, `cap_drop` and `no-new-privileges` runs it.

use testbed::{Sensorpipe, TestDatabase, TestTopic};

use crate::{
    PATIENCE,
    service::{Api, role, worker},
};

/// Nobody, for good, on file systems that cannot be written, and nothing open for writing but its two outputs.
fn is_confined(process: &Sensorpipe) {
    for (name, value) in [
        ("Uid", "65534\t65534\t65534\t65534"),
        ("Gid", "65534\t65534\t65534\t65534"),
        ("Groups", ""),
        ("CapEff", "0000000000000000"),
        ("CapBnd", "0000000000000000"),
        ("NoNewPrivs", "1"),
    ] {
        assert_eq!(process.status_line(name), value, "{name}");
    }
    let mounts = std::fs::read_to_string(format!("/proc/{}/mountinfo", process.id())).unwrap();
    let options_of = |line: &str| {
        let mut fields = line.split(' ').skip(4);
        (fields.next().unwrap().to_owned(), fields.next().unwrap().to_owned())
    };
    // The last mount at a place is the one that counts.
    let root = mounts.lines().map(options_of).rfind(|(place, _)| place == "/").unwrap();
    assert!(root.1.split(',').any(|option| option == "ro"), "{mounts}");
    let files = process.open_files();
    let of_disk: Vec<_> = files
        .iter()
        .filter(|file| file.starts_with("/") && !file.starts_with("/dev") && !file.starts_with("/proc"))
        .collect();
    assert_eq!(of_disk.len(), 2, "stdout and stderr and no other file: {of_disk:?}");
}

#[tokio::test]
async fn api_and_worker_need_neither_root_nor_a_file_to_write() {
    assert!(is_root(), "only root can take everything away: run this test as root");
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    database.add_sensors(1).await;
    let confined = |args: &[&str]| role(args).confined();
    let mut api = Api::launch(confined(&["api"]), &database, &topic, &[]);
    let mut worker = worker(confined(&["worker", "--consumers", "1"]), &database, &topic, &[]);
    testbed::eventually(PATIENCE, async || api.get("/readyz").await.0.is_some_and(|status| status == 200))
        .await;
    api.takes_a_reading().await;
    for process in [&api.process, &worker] {
        is_confined(process);
        process.terminate();
    }
    for process in [&mut api.process, &mut worker] {
        let status = process.ended(PATIENCE).await;
        assert!(status.success(), "{}", process.stderr());
    }
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    status.lines().any(|line| line.starts_with("Uid:\t0\t0"))
}
