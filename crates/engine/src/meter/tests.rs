//! Ten thousand random ledgers: several attempts with several calls at once, refusals, broken answers, unknown prices, people who allow more, and
//! engines that die with calls under way. What is reserved and spent never passes what was granted, nothing passes the cap, the books agree, and they have
//! every call that went out: those whose engine died at their worst case.

use super::{accounts::Left, *};
use crate::driver::{Message, Tell};
use gateway::{Digest, Ledger};
use mission::{
    About, AgentId, Allowance, Answer as Said, Check, EffectId, Limits, Measure, Mission, Opening, Per, Plan, Role,
    RoleId, Scope, TaskId, TaskSpec, Writes,
};
use store::{Batch, Home, MissionRow, Reservation, Store, TranscriptOptions};
use tokio::{sync::mpsc, task::JoinSet};

const LEDGERS: u64 = 10_000;
/// So many of them are put into a store, whose own sums have to agree.
const STORED: u64 = 40;
const AGENTS: u32 = 3;
/// Calls of one attempt at one time.
const LANES: u64 = 2;

/// xorshift64*, different for every seed.
struct Chance(u64);

impl Chance {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % end
    }
}

/// What is durable: the mission as its facts made it, and the rows that were written with them.
struct Books {
    mission: Mission,
    facts: Vec<mission::Fact>,
    rows: Vec<CallRow>,
    /// What is set aside for calls that are on, beside the facts in the journal.
    open: Arc<Mutex<Vec<Reservation>>>,
}

impl Books {
    fn new(cap: Option<u64>, allowances: Vec<Allowance>) -> Self {
        let task = |number: u32| TaskSpec {
            name: format!("t{number}"),
            title: "A task".into(),
            role: RoleId(0),
            instructions: "Do it.".into(),
            depends_on: Vec::new(),
            writes: Writes::Anything,
            checks: vec![Check { run: "true".into(), timeout_ms: 1_000 }],
            may_change_nothing: false,
            attempts_max: 2,
            budget: (number == 0 && cap.is_some()).then_some(Micros(16_000)),
            dispatch: mission::Dispatch::default(),
        };
        let opening = Opening {
            goal: "g".into(),
            repository: "/r".into(),
            base: "base".into(),
            branch: "muster/m".into(),
            budget: cap.map(Micros),
            limits: Limits::default(),
            settings: String::new(),
        };
        let roles = vec![Role { name: "builder".into(), count: AGENTS, ..Role::default() }];
        let mut books = Self { mission: Mission::default(), facts: Vec::new(), rows: Vec::new(), open: Arc::default() };
        books.tell(Input::Open(Box::new(opening))).unwrap();
        books
            .tell(Input::ProposePlan(Box::new(Plan {
                roles,
                tasks: (0..AGENTS).map(task).collect(),
                allowances,
                ..Plan::default()
            })))
            .unwrap();
        books
            .tell(Input::RepositoryPrepared {
                effect: EffectId(0),
                head: "base".into(),
                tried: Vec::new(),
                problem: None,
            })
            .unwrap();
        books
    }

    /// What a driver does, without a disk; the cap holds after every decision.
    fn tell(&mut self, input: Input) -> Result<Vec<mission::Fact>, TellError> {
        let facts = self.mission.decide(Clock.now(), input)?;
        self.facts.extend(facts.iter().cloned());
        let ledger = self.mission.ledger();
        let cap = ledger.cap.unwrap_or(Micros(u64::MAX));
        assert!(ledger.settled.plus(ledger.leased) <= cap, "{ledger:?}");
        Ok(facts)
    }

    fn book(&mut self, booking: Booking) {
        self.open.lock().unwrap().retain(|open| Some(open.key) != booking.reservation);
        self.rows.push(booking.row);
    }
}

/// An engine's life: the mission's actor and the meter in front of it.
struct Engine {
    meter: Arc<Meter>,
    books: Arc<Mutex<Books>>,
    handle: Handle,
}

impl Engine {
    fn start(books: Books, store: &Store, transcripts: &Transcripts) -> Self {
        let (sender, mut inbox) = mpsc::channel(64);
        let vault = Vault::Memory(store.clone(), Arc::clone(&books.open));
        let books = Arc::new(Mutex::new(books));
        let kept = Arc::clone(&books);
        tokio::spawn(async move {
            while let Some(message) = inbox.recv().await {
                let mut books = kept.lock().unwrap();
                match message {
                    Message::Read(look) => look(&books.mission),
                    Message::Tell(tell) => {
                        let Tell { input, call, reply } = *tell;
                        let told = books.tell(input);
                        call.filter(|_| told.is_ok()).into_iter().for_each(|booking| books.book(booking));
                        // A caller that is gone wants no answer.
                        let _ = reply.map(|reply| reply.send(told));
                    }
                }
            }
        });
        let masking = Masking::default();
        let handle = Handle::of("m".into(), sender, masking.clone());
        let notes = Notes { transcripts: transcripts.clone(), masking };
        let meter = Meter::new(vault, Clock, Arc::new(Faults::none()), "table-1".into(), notes);
        meter.serve(handle.clone());
        Self { meter: Arc::new(meter), books, handle }
    }

    /// The engine dies: what is not durable is gone, and the next one settles what died with it.
    fn kill(self) -> Books {
        let nothing = Books { mission: Mission::default(), facts: vec![], rows: vec![], open: Arc::default() };
        let Books { facts, rows, open, .. } = std::mem::replace(&mut *self.books.lock().unwrap(), nothing);
        let left = open.lock().unwrap().clone();
        let mut books =
            Books { mission: Mission::replay(&facts), facts, rows, open: Arc::new(Mutex::new(left.clone())) };
        for reservation in &left {
            let (input, booking) = unseen(reservation, 0);
            books.tell(input).unwrap();
            books.book(booking);
        }
        for (attempt, micros) in books.mission.lingering_leases().collect::<Vec<_>>() {
            books.tell(Input::LeaseReturned { attempt, micros }).unwrap();
        }
        // It refuses when there is nothing to settle.
        let _ = books.tell(Input::EngineStarted);
        books
    }
}

/// What the test itself saw settled.
#[derive(Default)]
struct Seen {
    by_source: BTreeMap<String, (u64, u64)>,
    refused: u64,
    /// Calls that were sent, and what each was worth to the provider, whether its engine lived to see the bill or not.
    paid: BTreeMap<u64, u64>,
}

/// One line of calls of one attempt, one after the other.
async fn lane(meter: Arc<Meter>, attempt: u32, ids: u64, mut chance: Chance, seen: Arc<Mutex<Seen>>) {
    for number in 0..8 {
        let call = Call {
            id: ids + number,
            mission: "m".into(),
            agent: format!("builder-{attempt}"),
            process: 1,
            attempt: Some(attempt),
            upstream: "u".into(),
            format: Format::OpenAiChat,
            model: "model".into(),
            digest: Digest([0; 32]),
            stream: true,
        };
        // A micro-dollar for a token of output; some requests have a place for a lower number.
        let (output, lowers) = (chance.below(12_000) + 1, chance.below(2) == 0);
        let prices = (chance.below(20) != 0).then(|| vec![(0, 1_000_000)]);
        let worst = Worst::new(Some(10), Some(output), 1, lowers).at(prices);
        let Ok(worst) = meter.reserve(&call, worst).await else {
            seen.lock().unwrap().refused += 1;
            continue;
        };
        within_the_lease(&meter, attempt);
        let settled = settled(call, worst.micros().unwrap_or(700), &mut chance);
        if let Cost::Known { micros, .. } = settled.cost {
            seen.lock().unwrap().paid.insert(settled.call.id, micros);
        }
        for _ in 0..chance.below(4) {
            tokio::task::yield_now().await;
        }
        let (source, cost) = match settled.cost {
            Cost::Known { micros, .. } if settled.usage.estimated => ("estimated".to_owned(), micros),
            Cost::Known { micros, source } => (source.word().to_owned(), micros),
            Cost::Unknown => ("unknown".to_owned(), 0),
        };
        meter.settle(settled).await.unwrap();
        {
            let mut seen = seen.lock().unwrap();
            let sum = seen.by_source.entry(source).or_default();
            *sum = (sum.0 + 1, sum.1 + cost);
        }
        within_the_lease(&meter, attempt);
    }
}

fn within_the_lease(meter: &Meter, attempt: u32) {
    let accounts = meter.accounts();
    let Some(account) = accounts.get(&attempt) else { return };
    if let Some(Left::Micros(left)) = account.left {
        let reserved: u64 = account.reserved.values().map(|aside| aside.micros).sum();
        assert!(reserved <= left, "{reserved} are reserved of {left}");
    }
}

/// Any end of a call that the gateway can report, at no more than its worst case.
fn settled(call: Call, worst: u64, chance: &mut Chance) -> Settled {
    let known = |micros, source| Cost::Known { micros, source };
    let part = chance.below(worst + 1);
    let (outcome, cost, estimated) = match chance.below(10) {
        0 => (Outcome::Unreachable, known(0, PriceSource::NotBilled), false),
        1 => (Outcome::Refused { status: 429 }, known(0, PriceSource::NotBilled), false),
        2 => (Outcome::Cut, known(worst, PriceSource::Table), true),
        3 => (Outcome::Failed, known(part, PriceSource::Configured), false),
        4 => (Outcome::Complete, Cost::Unknown, false),
        _ => (Outcome::Complete, known(part, PriceSource::Table), false),
    };
    let usage = gateway::Usage { input_tokens: 10, output_tokens: 1, estimated, ..gateway::Usage::default() };
    Settled { call, usage, cost, answer: None, ms: 1, ttfb_ms: None, outcome }
}

/// A person who now and then allows more.
async fn person(engine: &Engine, chance: &mut Chance) {
    let open =
        engine.handle.read(|mission| mission.interrupts().next().map(|(id, interrupt)| (id, interrupt.about.clone())));
    if let Ok(Some((interrupt, about))) = open.await
        && chance.below(2) == 0
    {
        let answer = match about {
            About::Budget if chance.below(2) == 0 => Said::Text("0.008".into()),
            About::Allowance(_) if chance.below(4) == 0 => Said::Deny,
            _ => Said::Approve,
        };
        // Somebody else may have answered, or the engine is gone.
        let _ = engine.handle.tell(Input::Answered { interrupt, answer }).await;
    }
}

/// Up to three budgets beside the mission's own, no two for the same.
fn allowances(chance: &mut Chance) -> Vec<Allowance> {
    let mut drawn: Vec<Allowance> = Vec::new();
    for _ in 0..chance.below(4) {
        let scope = match chance.below(4) {
            0 => Scope::Mission,
            1 => Scope::Role(RoleId(0)),
            2 => Scope::Agent(AgentId(chance.below(AGENTS.into()) as u32)),
            _ => Scope::Task(TaskId(chance.below(AGENTS.into()) as u32)),
        };
        let (measure, most) = match chance.below(3) {
            0 => (Measure::Cost, chance.below(100_000) + 1),
            1 => (Measure::Tokens, chance.below(50_000) + 1),
            _ => (Measure::Calls, chance.below(40) + 1),
        };
        let per = (chance.below(3) == 0).then(|| Per::Millis(chance.below(20) + 1));
        if !drawn.iter().any(|known| (known.scope, known.measure, known.per) == (scope, measure, per)) {
            drawn.push(Allowance { scope, measure, most, per });
        }
    }
    drawn
}

/// One mission through up to three lives of its engine; its rows, and what was refused.
async fn one_ledger(seed: u64, store: &Store, transcripts: &Transcripts) -> (Vec<CallRow>, u64) {
    let mut chance = Chance::new(seed);
    let cap = (chance.below(8) != 0).then(|| chance.below(160_000));
    let mut books = Books::new(cap, allowances(&mut chance));
    let seen = Arc::new(Mutex::new(Seen::default()));
    for life in 0..=chance.below(3) {
        let engine = Engine::start(books, store, transcripts);
        let attempts: Vec<u32> = engine.books.lock().unwrap().mission.attempts().map(|(id, _)| id.0).collect();
        let mut lanes = JoinSet::new();
        for (number, attempt) in attempts.iter().flat_map(|attempt| [*attempt; LANES as usize]).enumerate() {
            let ids = (life << 32) + number as u64 * 1_000;
            lanes.spawn(lane(
                Arc::clone(&engine.meter),
                attempt,
                ids,
                Chance::new(chance.below(u64::MAX >> 1)),
                Arc::clone(&seen),
            ));
        }
        let patience = chance.below(200);
        let mut polls = 0;
        while let Some(ended) = lanes.try_join_next().map(Some).unwrap_or_else(|| (!lanes.is_empty()).then(|| Ok(()))) {
            ended.unwrap();
            polls += 1;
            if life < 2 && polls > patience {
                break;
            }
            person(&engine, &mut chance).await;
            tokio::task::yield_now().await;
        }
        lanes.shutdown().await;
        books = engine.kill();
    }
    agree(&books, &seen.lock().unwrap());
    let refused = seen.lock().unwrap().refused;
    (books.rows, refused)
}

/// The mission's ledger, the rows and what was seen say the same. A call that an engine took with it may be in the books and not seen settled.
fn agree(books: &Books, seen: &Seen) {
    let mut by_source: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for row in &books.rows {
        let sum = by_source.entry(row.cost_source.clone()).or_default();
        *sum = (sum.0 + 1, sum.1 + row.cost_micros.unwrap_or_default());
    }
    for (id, allowance, spent) in books.mission.allowances() {
        assert!(spent.used <= spent.most, "{spent:?} of {id}, {allowance:?}");
    }
    let ledger = books.mission.ledger();
    let all: u64 = by_source.values().map(|sum| sum.1).sum();
    let paid: u64 = seen.paid.values().sum();
    assert!(paid <= all, "{paid} were paid for, {all} are booked");
    assert!(books.open.lock().unwrap().is_empty(), "a call is still set aside");
    assert_eq!((ledger.settled, ledger.calls), (Micros(all), books.rows.len() as u64));
    assert_eq!(ledger.unknown, by_source.get("unknown").map_or(0, |sum| sum.0));
    for (source, (calls, micros)) in &seen.by_source {
        let (booked_calls, booked) = by_source.get(source).copied().unwrap_or_default();
        assert!(
            booked_calls >= *calls && booked >= *micros,
            "{source}: {calls} calls of {micros} were settled, {booked_calls} of {booked} are booked"
        );
    }
}

#[test]
fn ten_thousand_random_ledgers() {
    let dir = tempfile::tempdir().unwrap();
    let lock = Home::lock(dir.path()).unwrap();
    let store = Store::open(&lock).unwrap();
    let transcripts = Transcripts::open(&lock, TranscriptOptions::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut calls, mut refused) = (0, 0);
    for seed in 1..=LEDGERS {
        let (rows, refusals) = runtime.block_on(one_ledger(seed, &store, &transcripts));
        calls += rows.len() as u64;
        refused += refusals;
        if seed <= STORED {
            runtime.block_on(sums_of_the_store(seed, rows, &store));
        }
    }
    // Both ends of the rules were reached.
    assert!(calls > 10 * LEDGERS && refused > LEDGERS, "{calls} calls, {refused} refused");
    println!("{LEDGERS} ledgers: {calls} calls booked, {refused} refused");
}

/// The sums by source that reports show are those of the rows.
async fn sums_of_the_store(seed: u64, rows: Vec<CallRow>, store: &Store) {
    let key: store::MissionKey = format!("m{seed}").into();
    let row = MissionRow {
        key: key.clone(),
        goal: "g".into(),
        repository: "/r".into(),
        created_at_ms: 0,
        updated_at_ms: 0,
        status: "running".into(),
        setup: "{}".into(),
    };
    store.create_mission(row).await.unwrap();
    let rows: Vec<CallRow> = rows.into_iter().map(|row| CallRow { mission: key.clone(), ..row }).collect();
    let batch = rows.iter().fold(Batch::new(), |batch, row| batch.call(row.clone(), None));
    store.commit(batch).await.unwrap();
    let mut expected: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for row in &rows {
        let sum = expected.entry(&row.cost_source).or_default();
        *sum = (sum.0 + 1, sum.1 + row.cost_micros.unwrap_or_default());
    }
    let spend = store.reader().unwrap().spend(&key).unwrap();
    let mut told: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for one in &spend {
        let sum = told.entry(&one.cost_source).or_default();
        *sum = (sum.0 + one.calls, sum.1 + one.cost_micros);
    }
    assert_eq!(told, expected);
}
