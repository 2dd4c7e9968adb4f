// SPDX-License-Identifier: EUPL-1.2
//! The ops, one family a file.
