//! The cloud's protocol: from a request to an answer, without sockets.

mod assume_role;
mod authenticate;
mod authorization;
#[cfg(test)]
mod client;
mod describe_tasks;
mod envelope;
mod error;
mod gateway;
mod page;
mod payload;
mod query;
mod request;
mod signature;
#[cfg(test)]
mod vectors;

pub(crate) use gateway::answer;
pub(crate) use payload::Payload;
pub(crate) use request::Request;

#[cfg(test)]
pub(crate) use client::Client;
