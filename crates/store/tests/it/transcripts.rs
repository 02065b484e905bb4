//! Transcripts: order, gaps, caps.

use crate::Fixture;
use rusqlite::Connection;
use store::{Chunk, Content, Entry, GapReason, MissionKey, TranscriptOptions, TranscriptReader, Transcripts, wait};

fn open(fixture: &Fixture, agent_bytes_max: u64) -> Transcripts {
    Transcripts::open(&fixture.lock(), TranscriptOptions { agent_bytes_max }).unwrap()
}

fn chunk(agent: &str, n: u64, size: usize) -> Chunk {
    let mut bytes = n.to_string().into_bytes();
    bytes.resize(size.max(bytes.len()), b'.');
    Chunk { mission: "m".into(), agent: agent.to_owned(), attempt: Some(3), at_ms: n, kind: "text".to_owned(), bytes }
}

fn read(fixture: &Fixture, agent: &str) -> Vec<Entry> {
    let reader = TranscriptReader::open(fixture.dir.path()).unwrap();
    let (m, mut all): (MissionKey, Vec<Entry>) = ("m".into(), Vec::new());
    loop {
        let page = reader.entries(&m, agent, all.last().map_or(0, |entry| entry.seq), 100).unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

fn gaps(entries: &[Entry]) -> Vec<(GapReason, u64)> {
    let gap = |entry: &Entry| match entry.content {
        Content::Gap { reason, chunks, .. } => Some((reason, chunks)),
        Content::Bytes { .. } => None,
    };
    entries.iter().filter_map(gap).collect()
}

#[test]
fn each_agent_reads_back_what_it_said_across_restarts() {
    let fixture = Fixture::new();
    for round in 0..2 {
        let transcripts = open(&fixture, 1 << 20);
        for n in 1..=150 {
            transcripts.push(chunk("a", round * 150 + n, 8));
            transcripts.push(chunk("b", n, 8));
        }
        wait(transcripts.flush()).unwrap();
        assert_eq!(transcripts.stats().written, 300);
    }
    let entries = read(&fixture, "a");
    assert_eq!(entries.len(), 300);
    for (n, entry) in (1..).zip(&entries) {
        let content = Content::Bytes { kind: "text".to_owned(), bytes: chunk("a", n, 8).bytes };
        assert_eq!(entry, &Entry { seq: n, at_ms: n, attempt: Some(3), content });
    }
    let reader = TranscriptReader::open(fixture.dir.path()).unwrap();
    assert_eq!(reader.agents(&"m".into()).unwrap(), ["a", "b"]);
    assert_eq!(reader.last_seq(&"m".into(), "a").unwrap(), 300);
    assert_eq!(reader.last_seq(&"m".into(), "nobody").unwrap(), 0);
    assert!(reader.entries(&"m".into(), "nobody", 0, 10).unwrap().is_empty());
}

#[test]
fn dropping_the_handle_writes_the_queue() {
    let fixture = Fixture::new();
    let transcripts = open(&fixture, 1 << 20);
    (1..=3000).for_each(|n| transcripts.push(chunk("a", n, 8)));
    drop(transcripts);
    assert_eq!(read(&fixture, "a").len(), 3000);
}

#[test]
fn a_long_chunk_is_stored_in_pieces() {
    let fixture = Fixture::new();
    let transcripts = open(&fixture, 64 << 20);
    let long = chunk("a", 1, (5 << 20) / 2);
    transcripts.push(long.clone());
    drop(transcripts);
    let entries = read(&fixture, "a");
    assert_eq!(entries.len(), 3);
    let bytes = entries.into_iter().flat_map(|entry| match entry.content {
        Content::Bytes { bytes, .. } => bytes,
        Content::Gap { .. } => panic!("no gap here"),
    });
    assert!(bytes.eq(long.bytes));
}

#[test]
fn what_a_slow_disk_made_us_drop_is_counted_in_its_place() {
    let fixture = Fixture::new();
    let transcripts = open(&fixture, 64 << 20);
    let slow = Connection::open(fixture.dir.path().join("transcripts.db")).unwrap();
    slow.execute_batch("BEGIN IMMEDIATE").unwrap();
    // more than the queue and the writer's hands hold
    let total = 8000;
    (1..=total).for_each(|n| transcripts.push(chunk("a", n, 8)));
    let dropped = transcripts.stats().dropped;
    assert!((1..total).contains(&dropped), "{dropped}");
    slow.execute_batch("COMMIT").unwrap();
    wait(transcripts.flush()).unwrap();
    transcripts.push(chunk("a", total + 1, 8));
    wait(transcripts.flush()).unwrap();

    let (mut next, mut missing) = (1, 0);
    for entry in read(&fixture, "a") {
        match entry.content {
            Content::Bytes { .. } => {
                assert_eq!(entry.at_ms, next);
                next += 1;
            }
            Content::Gap { reason, chunks, .. } => {
                assert_eq!(reason, GapReason::Overrun);
                (next, missing) = (next + chunks, missing + chunks);
                assert_eq!(entry.at_ms, next - 1, "the time of the last one that is missing");
            }
        }
    }
    assert_eq!((next, missing), (total + 2, transcripts.stats().dropped));
}

/// The disk refuses for as long as a write may wait (1 s), and more chunks are queued by then.
#[test]
fn what_the_disk_refused_is_counted_before_what_came_after() {
    let fixture = Fixture::new();
    let transcripts = open(&fixture, 64 << 20);
    let stuck = Connection::open(fixture.dir.path().join("transcripts.db")).unwrap();
    stuck.execute_batch("BEGIN IMMEDIATE").unwrap();
    transcripts.push(chunk("a", 1, 8));
    wait(transcripts.flush()).unwrap();
    let stats = transcripts.stats();
    assert_eq!((stats.written, stats.dropped), (0, 1));
    assert!(stats.failed > 0);
    transcripts.push(chunk("a", 2, 8));
    stuck.execute_batch("COMMIT").unwrap();
    wait(transcripts.flush()).unwrap();
    let entries = read(&fixture, "a");
    assert_eq!(entries.len(), 2);
    assert!(matches!(entries[0].content, Content::Gap { reason: GapReason::Overrun, chunks: 1, .. }));
    assert_eq!(entries[1].at_ms, 2);
}

#[test]
fn bytes_that_wait_are_limited_too() {
    let fixture = Fixture::new();
    let transcripts = open(&fixture, 256 << 20);
    let slow = Connection::open(fixture.dir.path().join("transcripts.db")).unwrap();
    slow.execute_batch("BEGIN IMMEDIATE").unwrap();
    (1..=100).for_each(|n| transcripts.push(chunk("a", n, 1 << 20)));
    let dropped = transcripts.stats().dropped;
    assert!((1..100).contains(&dropped), "{dropped}");
    slow.execute_batch("COMMIT").unwrap();
    wait(transcripts.flush()).unwrap();
    let dropped = transcripts.stats().dropped;
    let gaps = gaps(&read(&fixture, "a"));
    assert_eq!(gaps.iter().map(|(_, chunks)| chunks).sum::<u64>(), dropped);
}

#[test]
fn an_agent_at_its_cap_loses_its_oldest_words() {
    let fixture = Fixture::new();
    let transcripts = open(&fixture, 64_000);
    (1..=200).for_each(|n| transcripts.push(chunk("a", n, 1000)));
    transcripts.push(chunk("quiet", 1, 1000));
    drop(transcripts);
    let entries = read(&fixture, "a");
    let [(GapReason::Size, trimmed)] = gaps(&entries)[..] else { panic!("{:?}", gaps(&entries)) };
    assert_eq!(trimmed + entries.len() as u64 - 1, 200);
    assert!(matches!(entries[0].content, Content::Gap { bytes, .. } if bytes == trimmed * 1000));
    assert!((56..=64).contains(&(entries.len() - 1)), "{}", entries.len());
    assert_eq!(entries.last().unwrap().at_ms, 200);
    assert_eq!(read(&fixture, "quiet").len(), 1);
}

#[test]
fn a_chunk_larger_than_the_cap_is_kept_alone() {
    let fixture = Fixture::new();
    let transcripts = open(&fixture, 1000);
    transcripts.push(chunk("a", 1, 10));
    transcripts.push(chunk("a", 2, 5000));
    drop(transcripts);
    let entries = read(&fixture, "a");
    assert_eq!(gaps(&entries), [(GapReason::Size, 1)]);
    assert_eq!(entries.len(), 2);
}
