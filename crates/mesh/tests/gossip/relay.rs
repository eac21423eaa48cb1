//! A bad network of datagrams: whoever is reached through a relay hears late, twice or nothing, as the weather is.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What becomes of datagrams between nodes, each of which sends from an address of loopback that nobody else has.
#[derive(Clone, Default)]
pub(crate) struct Weather(Arc<Mutex<Conditions>>);

#[derive(Default)]
pub(crate) struct Conditions {
    /// How many of a hundred datagrams are lost.
    pub(crate) loss: u64,
    /// How many of a hundred that are not lost come twice.
    pub(crate) doubled: u64,
    /// How long a datagram is under way at most: they overtake each other.
    pub(crate) delay: Duration,
    /// Where nothing comes through.
    pub(crate) cuts: HashSet<Direction>,
    /// How many datagrams did not arrive.
    pub(crate) lost: u64,
    /// How many did.
    pub(crate) passed: HashMap<Direction, u64>,
    /// What has passed, while it is recorded.
    pub(crate) tape: Option<Vec<(Direction, Vec<u8>)>>,
    dice: Dice,
}

/// From whom to whom.
pub(crate) type Direction = (IpAddr, IpAddr);

impl Weather {
    pub(crate) fn conditions(&self) -> MutexGuard<'_, Conditions> {
        self.0.lock().expect("nobody panics under it")
    }

    /// Sends the datagram from `through` as often as it arrives, once it does.
    async fn carry(
        &self,
        from: SocketAddr,
        to: SocketAddr,
        through: &Arc<UdpSocket>,
        (bytes, address): (&[u8], SocketAddr),
    ) {
        let ways = self.conditions().ways((from.ip(), to.ip()), bytes);
        for way in ways {
            // A node that is down refuses; that is its affair.
            if way.is_zero() {
                let _ = through.send_to(bytes, address).await;
                continue;
            }
            let (through, bytes) = (Arc::clone(through), bytes.to_vec());
            tokio::spawn(async move {
                tokio::time::sleep(way).await;
                let _ = through.send_to(&bytes, address).await;
            });
        }
    }
}

impl Conditions {
    /// How long each copy of a datagram that arrives is under way.
    fn ways(&mut self, direction: Direction, bytes: &[u8]) -> Vec<Duration> {
        if self.cuts.contains(&direction) || self.chance(self.loss) {
            self.lost += 1;
            return Vec::new();
        }
        *self.passed.entry(direction).or_default() += 1;
        if let Some(tape) = &mut self.tape {
            tape.push((direction, bytes.to_vec()));
        }
        let copies = if self.chance(self.doubled) { 2 } else { 1 };
        (0..copies).map(|_| self.way()).collect()
    }

    fn way(&mut self) -> Duration {
        let longest = u64::try_from(self.delay.as_micros()).expect("it is short");
        Duration::from_micros(self.dice.throw() % (longest + 1))
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.dice.throw() % 100 < percent
    }
}

/// Passes on what reaches `front` to the node, if that is anywhere: from one port for each sender, so that answers find back as they do
/// through a NAT.
pub(crate) async fn relay(
    front: UdpSocket,
    node: watch::Receiver<Option<SocketAddr>>,
    weather: Weather,
) {
    let front = Arc::new(front);
    let mut ports: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut answers = JoinSet::new();
    let mut datagram = vec![0; 65_535];
    loop {
        let (length, from) = front.recv_from(&mut datagram).await.expect("it is bound");
        let Some(to) = *node.borrow() else {
            continue;
        };
        let port = match ports.entry(from) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let port = UdpSocket::bind("127.0.0.1:0").await;
                let port = Arc::new(port.expect("loopback has free ports"));
                let (back, front) = (Arc::clone(&port), Arc::clone(&front));
                answers.spawn(answer(back, front, from, weather.clone()));
                unknown.insert(port)
            }
        };
        let datagram = (&datagram[..length], to);
        weather.carry(from, to, port, datagram).await;
    }
}

/// Passes on to `to` what a node answers to it.
async fn answer(port: Arc<UdpSocket>, front: Arc<UdpSocket>, to: SocketAddr, weather: Weather) {
    let mut datagram = vec![0; 65_535];
    loop {
        // An error says that the node is down.
        if let Ok((length, from)) = port.recv_from(&mut datagram).await {
            let datagram = (&datagram[..length], to);
            weather.carry(from, to, &front, datagram).await;
        }
    }
}

/// The same numbers in every run.
pub(crate) struct Dice(u64);

impl Default for Dice {
    fn default() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }
}

impl Dice {
    pub(crate) fn throw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
