//! The simulator as a process of its own.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::{fs, thread};

use clap::Parser;
use serde_json::json;
use simulator::{Account, Options, Script, Simulator};

/// A simulated Volcengine ECS that answers DescribeTasks.
///
/// Once ready it prints one line of JSON with its two URLs.
#[derive(Parser)]
struct Args {
    /// Where the cloud listens; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where the control endpoint listens
    #[arg(long, default_value = "127.0.0.1:0")]
    control: SocketAddr,
    /// Speak HTTPS, with a certificate of a CA made at every start
    #[arg(long, requires = "ca_file")]
    tls: bool,
    /// Where to write the CA's certificate
    #[arg(long, value_name = "FILE", requires = "tls")]
    ca_file: Option<PathBuf>,
    /// An access key to know; may be repeated
    #[arg(long = "account", value_name = "AK:SK", value_parser = account)]
    accounts: Vec<Account>,
    /// A script to play at the start: the JSON that POST /control/script takes
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Exit when standard input is closed
    #[arg(long)]
    exit_with_stdin: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let script = args.script.as_deref().map(fs::read).transpose()?;
    let script: Option<Script> = script.map(|text| serde_json::from_slice(&text)).transpose()?;

    let simulator = Simulator::launch(Options { listen: args.listen, control: Some(args.control), tls: args.tls })?;
    args.accounts.into_iter().for_each(|account| simulator.add(account));
    script.map(|script| simulator.play(script));
    if let (Some(path), Some(pem)) = (args.ca_file, simulator.ca_pem()) {
        fs::write(path, pem)?;
    }
    writeln!(io::stdout(), "{}", json!({ "url": simulator.url(), "control_url": simulator.control_url() }))?;

    if args.exit_with_stdin {
        io::stdin().read_to_end(&mut Vec::new())?;
        return Ok(());
    }
    loop {
        thread::park();
    }
}

fn account(text: &str) -> Result<Account, String> {
    let (access_key, secret_key) = text.split_once(':').ok_or("write ACCESS_KEY:SECRET_KEY")?;
    Ok(Account::new(access_key, secret_key))
}
