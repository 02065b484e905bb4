//! The program from outside: the real binary with real git, real sandboxes and real processes; only models are played.
//!
//! Nothing here sleeps to wait for something: tests wait for a line, an exit, a process's end. Every home is a folder of its own, every
//! server listens on loopback at a port of the system's choice, and only processes that a test started are ended by it.
//!
//! | variable | meaning |
//! |---|---|
//! | `MUSTER_LITELLM=DIR` | where `scripts/litellm.sh` has installed the LiteLLM proxy (`target/litellm`) |
//! | `MUSTER_EVIDENCE=DIR` | write what was measured as Markdown tables into this folder |
//! | `MUSTER_KILLS=all` | kill at every crash point of every scenario instead of one scenario for each point |
//! | `MUSTER_KILLS=TEXT` | of those, only the ones whose `POINT SCENARIO` contains the text |
//! | `MUSTER_RANDOM_KILLS=N` | how many random kills the thirty exercises have to survive (20) |
//! | `MUSTER_RANDOM_SEED=N` | the seed that the random kills are drawn with |
//! | `MUSTER_IDLE_S=N` | how many seconds a waiting mission is watched for model calls (3) |

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests are tests")]

mod support;

mod agent_faults;
mod bad_answers;
mod bad_input;
mod budgets;
mod caps;
mod codex_schema;
mod demo;
mod dispatch;
mod ends;
mod hidden_costs;
mod kill_points;
mod kill_random;
mod kit;
mod litellm;
mod lost_agents;
mod outside_faults;
mod people;
mod permissions;
mod prices;
mod real_agents;
mod registry;
mod rejected;
mod replay;
mod repository_work;
mod rules;
mod sandbox;
mod scenario;
mod screens;
mod secrets;
mod space;
mod thirty;
mod trust;
mod upstreams;
mod workers;
