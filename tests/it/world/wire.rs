//! A wire to the API server that can be cut, or hold back what comes.

use std::path::PathBuf;
use std::pin::pin;

use serde_json::json;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::World;
use super::controlplane::changed_kubeconfig;

/// Carries bytes between an operator and the API server; whole until it is told otherwise.
pub(crate) struct Wire {
    /// The configuration of the world's operator when it goes this way.
    pub(crate) kubeconfig: PathBuf,
    state: watch::Sender<State>,
    serving: JoinHandle<()>,
}

#[derive(Clone, Copy)]
struct State {
    /// Connections so far.
    opened: u64,
    /// The first so many connections carry nothing.
    held: u64,
    cut: bool,
}

impl Wire {
    /// A wire of its own from an operator of a world to the API server.
    pub(crate) async fn of(world: &World) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut server = String::new();
        let kubeconfig = changed_kubeconfig(world.kubeconfig().await, &format!("wire-{port}"), |config| {
            let place = &mut config["clusters"][0]["cluster"]["server"];
            server = place.as_str().expect("it names a server").trim_start_matches("https://").to_owned();
            *place = json!(format!("https://127.0.0.1:{port}"));
        });
        let state = watch::Sender::new(State { opened: 0, held: 0, cut: false });
        let serving = tokio::spawn(serve(listener, server, state.clone()));
        Self { kubeconfig, state, serving }
    }

    /// Every connection ends, and none is made any more.
    pub(crate) fn cut(&self) {
        self.state.send_modify(|state| state.cut = true);
    }

    /// No connection carries anything any more, and none ends.
    pub(crate) fn hold(&self) {
        self.state.send_modify(|state| state.held = u64::MAX);
    }

    /// The connections that there are carry nothing any more; new ones do.
    pub(crate) fn hold_what_is_open(&self) {
        self.state.send_modify(|state| state.held = state.opened);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.cut();
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, server: String, state: watch::Sender<State>) {
    while let Ok((operator, _)) = listener.accept().await {
        let mut number = 0;
        state.send_modify(|state| {
            number = state.opened;
            state.opened += 1;
        });
        tokio::spawn(carry(operator, server.clone(), number, state.subscribe()));
    }
}

async fn carry(mut operator: TcpStream, server: String, number: u64, mut state: watch::Receiver<State>) {
    let mut copy = pin!(async {
        let mut server = TcpStream::connect(server).await?;
        copy_bidirectional(&mut operator, &mut server).await
    });
    loop {
        let State { held, cut, .. } = *state.borrow_and_update();
        if cut {
            return;
        }
        let ends = tokio::select! {
            // A connection that breaks ends here, too.
            ended = &mut copy, if number >= held => ended.is_ok() || ended.is_err(),
            changed = state.changed() => changed.is_err(),
        };
        if ends {
            return;
        }
    }
}
