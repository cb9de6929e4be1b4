//! What means harm, sent to the real server: each ends in a rejection with its reason or in a right picture, while memory, disk
//! and everything outside the data folder stay as they should. `cases` is also what the fuzzers begin with.

mod archives;
mod cases;
mod guard;
mod pictures;
