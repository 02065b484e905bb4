//! The ledger of model calls, and answers that need not be paid twice.

use crate::{Fixture, mission, rows};
use store::{Answer, Batch, CallRow, MissionKey, Reservation, WriteError, wait};

fn call(mission: &MissionKey, attempt: u32, digest: &str) -> CallRow {
    CallRow {
        mission: mission.clone(),
        agent: "parser".to_owned(),
        attempt: Some(attempt),
        digest: digest.to_owned(),
        model: "scripted-1".to_owned(),
        process: 1,
        upstream: "script".to_owned(),
        format: "openai-chat".to_owned(),
        input_tokens: Some(100),
        output_tokens: Some(20),
        reasoning_tokens: Some(5),
        cache_read_tokens: Some(7),
        cache_write_tokens: None,
        cost_micros: Some(1_500),
        cost_source: "table".to_owned(),
        prices_version: "2026-01".to_owned(),
        bound_tokens: None,
        status: 200,
        outcome: "complete".to_owned(),
        duration_ms: 900,
        first_byte_ms: Some(120),
        at_ms: 1_700_000_000_000,
    }
}

fn answer(text: &str) -> Answer {
    Answer { status: 200, content_type: "text/event-stream".to_owned(), body: text.as_bytes().to_vec() }
}

#[test]
fn an_answer_of_an_earlier_epoch_is_recalled_once() {
    let fixture = Fixture::new();
    let (store, m) = fixture.store_with_mission();
    wait(store.put_call(call(&m, 1, "d"), Some(answer("paid")))).unwrap();
    assert_eq!(store.recall(&m, 1, "d", 1).unwrap(), None, "the same epoch asks for a new one");
    drop(store);

    let store = fixture.store();
    assert_eq!(store.recall(&m, 2, "d", 1).unwrap(), None, "another attempt");
    assert_eq!(store.recall(&m, 1, "e", 1).unwrap(), None, "another request");
    assert_eq!(store.recall(&"x".into(), 1, "d", 1).unwrap(), None, "another mission");
    assert_eq!(store.recall(&m, 1, "d", 1).unwrap(), Some(answer("paid")));
    assert_eq!(store.recall(&m, 1, "d", 1).unwrap(), None, "used up");
    drop(store);

    let store = fixture.store();
    assert_eq!(store.recall(&m, 1, "d", 1).unwrap(), Some(answer("paid")), "used up for one epoch only");
}

#[test]
fn an_answer_of_another_process_is_recalled_in_the_same_epoch() {
    let fixture = Fixture::new();
    let (store, m) = fixture.store_with_mission();
    wait(store.put_call(call(&m, 1, "d"), Some(answer("paid")))).unwrap();
    assert_eq!(store.recall(&m, 1, "d", 2).unwrap(), Some(answer("paid")));
    assert_eq!(store.recall(&m, 1, "d", 2).unwrap(), None, "used up for that process");
    assert_eq!(store.recall(&m, 1, "d", 3).unwrap(), Some(answer("paid")), "and not for the next");
    // What nobody had the whole of is for whoever asks next, the same process included.
    wait(store.put_call(CallRow { process: 0, ..call(&m, 1, "e") }, Some(answer("late")))).unwrap();
    assert_eq!(store.recall(&m, 1, "e", 1).unwrap(), Some(answer("late")));
}

#[test]
fn a_reservation_lasts_until_its_call_is_booked() {
    let fixture = Fixture::new();
    let (store, m) = fixture.store_with_mission();
    let made = |store: &store::Store| Reservation {
        mission: m.clone(),
        key: store.reservation(),
        agent: "parser".to_owned(),
        attempt: 1,
        digest: "d".to_owned(),
        model: "scripted-1".to_owned(),
        upstream: "script".to_owned(),
        format: "openai-chat".to_owned(),
        input_tokens: Some(400),
        output_tokens: Some(4_096),
        cost_micros: Some(70_000),
        prices_version: "2026-01".to_owned(),
        at_ms: 1_700_000_000_000,
    };
    let (first, second) = (made(&store), made(&store));
    wait(store.commit(Batch::new().reserve(first.clone()))).unwrap();
    wait(store.commit(Batch::new().reserve(second.clone()))).unwrap();
    let batch = Batch::new().call(call(&m, 1, "d"), None).release(first.key);
    wait(store.commit(batch)).unwrap();
    drop(store);
    // The next writer counts anew, and finds what the last one left.
    let store = fixture.store();
    let third = made(&store);
    wait(store.commit(Batch::new().reserve(third.clone()))).unwrap();
    let reader = store.reader().unwrap();
    assert_eq!(reader.reservations(&m).unwrap(), [second.clone(), third]);
    assert!(second.key.epoch < reader.newest_epoch().unwrap());
    let row = second.at_worst(1_700_000_060_000);
    assert_eq!((row.cost_micros, row.cost_source.as_str(), row.duration_ms), (Some(70_000), "estimated", 60_000));
    // Booking it twice is harmless.
    for _ in 0..2 {
        wait(store.commit(Batch::new().release(second.key))).unwrap();
    }
    let lost = Reservation { mission: "x".into(), ..made(&store) };
    assert!(matches!(wait(store.commit(Batch::new().reserve(lost))), Err(WriteError::UnknownMission(_))));
}

#[test]
fn the_newest_complete_answer_is_recalled() {
    let fixture = Fixture::new();
    let (store, m) = fixture.store_with_mission();
    wait(store.put_call(call(&m, 1, "d"), Some(answer("first")))).unwrap();
    wait(store.put_call(call(&m, 1, "d"), Some(answer("second")))).unwrap();
    wait(store.put_call(CallRow { status: 0, outcome: "broken off".to_owned(), ..call(&m, 1, "d") }, None)).unwrap();
    drop(store);
    assert_eq!(fixture.store().recall(&m, 1, "d", 1).unwrap(), Some(answer("second")));
}

#[test]
fn answers_come_back_byte_for_byte() {
    let fixture = Fixture::new();
    let (store, m) = fixture.store_with_mission();
    let noise: Vec<u8> = (0..100_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let bodies = [Vec::new(), b"{}".to_vec(), b"data: {\"x\":1}\n\n".repeat(50_000), noise];
    for (n, body) in bodies.iter().enumerate() {
        let answer = Answer { status: 200, content_type: "application/json".to_owned(), body: body.clone() };
        let batch = Batch::new().call(call(&m, 1, &n.to_string()), Some(answer));
        assert!(batch.bytes() <= body.len());
        wait(store.commit(batch)).unwrap();
    }
    drop(store);
    let store = fixture.store();
    for (n, body) in bodies.iter().enumerate() {
        assert_eq!(&store.recall(&m, 1, &n.to_string(), 1).unwrap().unwrap().body, body);
    }
}

#[test]
fn a_fact_and_a_call_are_written_together_or_not_at_all() {
    let fixture = Fixture::new();
    let (store, m) = fixture.store_with_mission();
    wait(store.commit(Batch::new().facts(&m, 1, 0, rows(1, 1)).call(call(&m, 1, "d"), None))).unwrap();
    let taken = Batch::new().call(call(&m, 1, "e"), Some(answer("lost"))).facts(&m, 1, 0, rows(1, 1));
    assert!(matches!(wait(store.commit(taken)), Err(WriteError::SequenceTaken { .. })));
    let nowhere = store.put_call(call(&"nowhere".into(), 1, "d"), None);
    assert!(matches!(wait(nowhere), Err(WriteError::UnknownMission(_))));
    let calls = fixture.reader().calls(&m, 0, 10).unwrap();
    assert_eq!(calls.len(), 1);
    assert_eq!((calls[0].epoch, calls[0].answered, &calls[0].call), (1, false, &call(&m, 1, "d")));
}

#[test]
fn sums_keep_sources_apart_and_count_what_is_unknown() {
    let fixture = Fixture::new();
    let (store, m) = fixture.store_with_mission();
    wait(store.create_mission(mission("other"))).unwrap();
    let unknown = CallRow { cost_micros: None, cost_source: "unknown".to_owned(), ..call(&m, 1, "x") };
    let recalled = CallRow {
        cost_micros: Some(0),
        cost_source: "recalled".to_owned(),
        agent: "zeta".to_owned(),
        ..call(&m, 2, "x")
    };
    for call in [call(&m, 1, "a"), call(&m, 1, "b"), unknown, recalled, call(&"other".into(), 1, "a")] {
        wait(store.put_call(call, Some(answer("x")))).unwrap();
    }
    let reader = fixture.reader();
    let sums: Vec<_> = reader.spend(&m).unwrap();
    let brief: Vec<_> = sums
        .iter()
        .map(|s| (s.agent.as_str(), s.cost_source.as_str(), s.calls, s.unpriced_calls, s.cost_micros, s.input_tokens))
        .collect();
    assert_eq!(
        brief,
        [
            ("parser", "table", 2, 0, 3_000, 200),
            ("parser", "unknown", 1, 1, 0, 100),
            ("zeta", "recalled", 1, 0, 0, 100),
        ]
    );
    assert!(reader.calls(&m, 0, 10).unwrap().iter().all(|call| call.answered));
    assert_eq!(reader.calls(&m, 2, 1).unwrap().len(), 1);
}
