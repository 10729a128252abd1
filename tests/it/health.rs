//! Whether a pipeline is alive and ready: what its workers say of themselves.

use std::time::Duration;

use arterial::observe::Health;

#[test]
fn worker_that_says_nothing_is_stuck_by_its_name_until_it_says_something_or_has_ended() {
    let health = Health::default();
    assert_eq!(health.alive(Duration::ZERO), Ok(()), "nobody has to say anything yet");
    health.set("0-0", Ok(()));
    health.set("0-1", Err("the broker is away".to_owned()));
    assert_eq!(health.alive(Duration::from_secs(600)), Ok(()), "who waits for a broker is alive");
    while health.alive(Duration::ZERO).is_ok() {
        std::hint::spin_loop();
    }
    let stuck = health.alive(Duration::ZERO).unwrap_err();
    assert!(stuck.starts_with("worker 0-") && stuck.ends_with("stuck for 0 s"), "{stuck}");
    health.ended("0-0");
    health.ended("0-1");
    assert_eq!(health.alive(Duration::ZERO), Ok(()));
}
