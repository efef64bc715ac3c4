//! One connection to one of several addresses: the first that answers.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::net::TcpStream;

/// An address is tried alone for so long.
const HEAD_START: Duration = Duration::from_millis(250);
/// A connection on which nothing was heard is asked about after this, and again.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const KEEP_ALIVE_ASKED: u32 = 3;
/// What was sent and is not acknowledged ends a connection after so many milliseconds.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: u32 = 30_000;

/// Tries one after the other, of both families in turn.
pub(super) async fn dial(addresses: Vec<IpAddr>, port: u16) -> io::Result<std::net::TcpStream> {
    let mut left = in_turn(addresses).into_iter();
    let mut tried = FuturesUnordered::new();
    let mut failed = io::Error::other("there is no address to connect to");
    loop {
        if let Some(address) = left.next() {
            tried.push(TcpStream::connect(SocketAddr::new(address, port)));
        }
        let more = left.len() > 0;
        tokio::select! {
            connected = tried.next() => match connected {
                Some(Ok(stream)) => return ready(stream),
                Some(Err(error)) => failed = error,
                None => return Err(failed),
            },
            () = tokio::time::sleep(HEAD_START), if more => {}
        }
    }
}

/// The first stays the first, and after it the families alternate.
fn in_turn(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let first = addresses.first().is_some_and(IpAddr::is_ipv4);
    let (same, other): (VecDeque<_>, VecDeque<_>) =
        addresses.into_iter().partition(|address| address.is_ipv4() == first);
    let mut rows = [same, other];
    let most = rows.iter().map(VecDeque::len).max().unwrap_or_default();
    (0..most).flat_map(|_| rows.each_mut().map(VecDeque::pop_front)).flatten().collect()
}

fn ready(stream: TcpStream) -> io::Result<std::net::TcpStream> {
    stream.set_nodelay(true)?;
    #[cfg(unix)]
    {
        use rustix::net::sockopt;
        sockopt::set_socket_keepalive(&stream, true)?;
        sockopt::set_tcp_keepidle(&stream, KEEP_ALIVE)?;
        sockopt::set_tcp_keepintvl(&stream, KEEP_ALIVE)?;
        sockopt::set_tcp_keepcnt(&stream, KEEP_ALIVE_ASKED)?;
        #[cfg(target_os = "linux")]
        sockopt::set_tcp_user_timeout(&stream, UNACKNOWLEDGED)?;
    }
    stream.into_std()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_alternate_and_the_first_stays_the_first() {
        let addresses = |texts: &[&str]| -> Vec<IpAddr> {
            texts.iter().map(|text| text.parse().expect("an address")).collect()
        };
        for (given, tried) in [
            (vec!["::1", "::2", "::3", "1.1.1.1"], vec!["::1", "1.1.1.1", "::2", "::3"]),
            (vec!["1.1.1.1", "1.1.1.2", "::1"], vec!["1.1.1.1", "::1", "1.1.1.2"]),
            (vec![], vec![]),
        ] {
            assert_eq!(in_turn(addresses(&given)), addresses(&tried));
        }
    }

    #[tokio::test]
    async fn an_address_that_refuses_gives_way_to_the_next() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let addresses = ["127.0.0.2", "127.0.0.1"].map(|text| text.parse().expect("an address"));
        let stream = dial(addresses.to_vec(), port).await.expect("connected");
        assert_eq!(stream.peer_addr().expect("an address").ip(), addresses[1]);
        let error = dial(addresses[..1].to_vec(), port).await.expect_err("nobody is there");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(dial(Vec::new(), port).await.is_err());
    }
}
