//! Conversations with vendors' programs, on what the real programs wrote.

mod noise;
mod recordings;
