//! What a role's network means for the programs of a workspace.

use crate::place::{LAUNCHER, Place, agent};
use tokio::io::AsyncReadExt;
use workspace::egress::{HostRules, Proxy, serve};
use workspace::{Network, Process, Program, SandboxExtras, Workspace};

/// Prints the variables of the proxy, and what a program says that uses them.
const SCRIPT: &str = "env | grep -i _proxy | sort; python3 -c '
import urllib.request
try:
    urllib.request.urlopen(\"https://denied.test/\", timeout=20)
except OSError as error:
    print(error)
'";

fn program(network: Option<Network>, gateway: bool) -> Program {
    let extras = SandboxExtras { network, ..SandboxExtras::default() };
    Program { path: "sh".into(), args: vec!["-c".into(), SCRIPT.into()], gateway, extras, ..Program::default() }
}

#[tokio::test]
async fn who_may_reach_hosts_is_told_of_the_proxy() {
    let place = Place::filled();
    let workspace = Workspace::scratch(&place.dir, &agent("coder"), LAUNCHER.clone()).unwrap();
    let hosts = Network::Hosts(vec!["allowed.test:443".parse().unwrap()]);
    let process = workspace.spawn(program(Some(hosts.clone()), true)).await.unwrap();
    let Process { stdin, mut stdout, listener, control, .. } = process;
    drop(stdin);
    let Network::Hosts(rules) = hosts else { unreachable!() };
    let (tell, told) = std::sync::mpsc::channel();
    let proxy = Proxy::new(HostRules::new(rules), move |refused| _ = tell.send(refused.host));
    let _serving = serve(&tokio::runtime::Handle::current(), listener.unwrap(), proxy).unwrap();
    let mut said = String::new();
    stdout.read_to_string(&mut said).await.unwrap();
    control.wait().await;
    let expected = "HTTPS_PROXY=http://127.0.0.1:3128\nHTTP_PROXY=http://127.0.0.1:3128\nNO_PROXY=127.0.0.1,localhost,::1\n\
                    http_proxy=http://127.0.0.1:3128\nhttps_proxy=http://127.0.0.1:3128\nno_proxy=127.0.0.1,localhost,::1\n\
                    <urlopen error Tunnel connection failed: 403 Forbidden by the sandbox policy: denied.test:443>\n";
    assert_eq!(said, expected);
    assert_eq!(told.try_iter().collect::<Vec<_>>(), ["denied.test"]);
}
