//! Sockets: where requests come from and answers go to.

mod listener;
mod tls;

pub(crate) use listener::serve;
pub(crate) use tls::TestCa;
