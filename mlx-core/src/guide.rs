// SPDX-License-Identifier: EUPL-1.2
//! Long topics, an article each. The examples in them run with the tests.

#[allow(unused_imports, reason = "the articles link to them")]
use crate::*;

#[doc = include_str!("../../docs/indexing.md")]
pub mod indexing {}

#[doc = include_str!("../../docs/laziness.md")]
pub mod laziness {}

#[doc = include_str!("../../docs/streams-and-threads.md")]
pub mod streams_and_threads {}
