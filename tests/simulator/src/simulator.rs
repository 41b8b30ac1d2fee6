//! The simulator: a [`Cloud`] behind a port, as long as it is held.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Deref;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use crate::net::{self, TestCa};
use crate::{Account, Cloud, control};

/// A running simulator. Everything that a [`Cloud`] can do can be done with it; dropping it
/// closes its ports and connections at once.
///
/// It runs on a thread of its own, so that a test may block, pause its clock or end as it likes.
pub struct Simulator {
    cloud: Arc<Cloud>,
    address: SocketAddr,
    control: Option<SocketAddr>,
    ca_pem: Option<String>,
    /// Dropping the sender stops the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Where and how a simulator listens.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The cloud's address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The control endpoint's address, if there is to be one.
    pub control: Option<SocketAddr>,
    /// Whether the cloud speaks TLS.
    pub tls: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { listen: loopback(), control: None, tls: false }
    }
}

impl Simulator {
    /// The access key of the account that is there from the start.
    pub const ACCESS_KEY: &str = "AKSIMULATOR";
    /// Its secret.
    pub const SECRET_KEY: &str = "simulator-secret-key";
    /// The region that a [`Task`](crate::Task) is in unless it says another.
    pub const REGION: &str = "cn-beijing";

    /// Starts one over HTTP on a free loopback port.
    ///
    /// # Panics
    ///
    /// When the machine has no free port or thread.
    pub async fn start() -> Self {
        Self::launch(Options::default()).expect("a loopback port and a thread are free")
    }

    /// Starts one over HTTPS on a free loopback port; see [`Simulator::ca_pem`].
    ///
    /// # Panics
    ///
    /// When the machine has no free port or thread.
    pub async fn start_tls() -> Self {
        let options = Options { tls: true, ..Options::default() };
        Self::launch(options).expect("a loopback port and a thread are free")
    }

    /// Starts one as `options` say.
    ///
    /// # Errors
    ///
    /// When an address cannot be bound or the thread cannot be started.
    pub fn launch(options: Options) -> io::Result<Self> {
        let cloud = Arc::new(Cloud::new());
        cloud.add(Account::new(Self::ACCESS_KEY, Self::SECRET_KEY));
        let ca = if options.tls {
            Some(TestCa::generate().map_err(|error| io::Error::other(error.to_string()))?)
        } else {
            None
        };
        let (ca_pem, tls) = ca.map(|ca| (ca.pem, ca.acceptor)).unzip();
        let listener = bind(options.listen)?;
        let control = options.control.map(bind).transpose()?;
        let (stop, stopped) = oneshot::channel();
        Ok(Self {
            address: listener.local_addr()?,
            control: control.as_ref().map(TcpListener::local_addr).transpose()?,
            ca_pem,
            stop: Some(stop),
            thread: Some(spawn(Arc::clone(&cloud), listener, control, tls, stopped)?),
            cloud,
        })
    }

    /// Where the cloud is, without a trailing slash: `http://127.0.0.1:40001`.
    pub fn url(&self) -> String {
        let scheme = if self.ca_pem.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Where the control endpoint is, if there is one.
    pub fn control_url(&self) -> Option<String> {
        self.control.map(|address| format!("http://{address}"))
    }

    /// The certificate of the test CA, if the cloud speaks TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }
}

impl Deref for Simulator {
    type Target = Cloud;

    fn deref(&self) -> &Cloud {
        &self.cloud
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        drop(self.stop.take());
        // A panic on the thread was printed there; there is nobody to tell it to here.
        drop(self.thread.take().map(JoinHandle::join));
    }
}

fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn spawn(
    cloud: Arc<Cloud>,
    listener: TcpListener,
    control: Option<TcpListener>,
    tls: Option<TlsAcceptor>,
    stopped: oneshot::Receiver<()>,
) -> io::Result<JoinHandle<()>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (listener, control) = {
        let _entered = runtime.enter();
        (tokio::net::TcpListener::from_std(listener)?, control.map(tokio::net::TcpListener::from_std).transpose()?)
    };
    let work = async move {
        if let Some(control) = control {
            tokio::spawn(control::serve(control, Arc::clone(&cloud)));
        }
        tokio::spawn(net::serve(listener, tls, cloud));
        // The sender is only ever dropped, which ends the wait as well.
        drop(stopped.await);
    };
    thread::Builder::new().name("simulator".to_owned()).spawn(move || runtime.block_on(work))
}
