//! A bad network: every node is reached through a relay that loses, cuts and records datagrams.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use mesh::gossip::{Keys, Options};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use crate::nodes::Node;

/// What lies between some nodes. Whoever is started in it advertises its relay.
#[derive(Default)]
pub(crate) struct Network {
    weather: Arc<Mutex<Weather>>,
    relays: JoinSet<()>,
    seeds: Vec<SocketAddr>,
}

#[derive(Default)]
struct Weather {
    /// On which side of the cut each node is, by the address that it sends from.
    sides: HashMap<SocketAddr, usize>,
    is_cut: bool,
    /// How many of a hundred datagrams are lost.
    loss: u64,
    dice: Dice,
    lost: u64,
    /// What has passed, while it is recorded.
    tape: Option<Vec<Vec<u8>>>,
}

impl Network {
    pub(crate) fn losing(percent: u64) -> Self {
        let network = Self::default();
        network.weather().loss = percent;
        network
    }

    /// Starts a node on `side`, which knows every node that was started before.
    pub(crate) async fn start(&mut self, options: Options, side: usize) -> Node {
        let front = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let advertised = front.local_addr().unwrap();
        let node = Node::start(Options {
            advertise: Some(advertised),
            seeds: self.seeds.iter().map(ToString::to_string).collect(),
            ..options
        });
        let node = node.await;
        self.seeds.push(advertised);
        self.weather().sides.insert(node.address(), side);
        let relay = relay(front, node.address(), Arc::clone(&self.weather));
        self.relays.spawn(relay);
        node
    }

    pub(crate) fn cut(&self) {
        self.weather().is_cut = true;
    }

    pub(crate) fn heal(&self) {
        self.weather().is_cut = false;
    }

    pub(crate) fn lost(&self) -> u64 {
        self.weather().lost
    }

    pub(crate) fn record(&self) {
        self.weather().tape = Some(Vec::new());
    }

    pub(crate) fn recorded(&self) -> Vec<Vec<u8>> {
        self.weather().tape.clone().unwrap_or_default()
    }

    fn weather(&self) -> MutexGuard<'_, Weather> {
        self.weather.lock().unwrap()
    }
}

impl Weather {
    fn passes(&mut self, from: SocketAddr, to: SocketAddr, datagram: &[u8]) -> bool {
        let side = |it| self.sides.get(&it).copied();
        let cut_off = self.is_cut && side(from) != side(to);
        if cut_off || self.dice.throw() % 100 < self.loss {
            self.lost += 1;
            return false;
        }
        if let Some(tape) = &mut self.tape {
            tape.push(datagram.to_vec());
        }
        true
    }
}

/// Passes on what reaches `front`, from one port for each sender, so that answers find back as they do through a NAT.
async fn relay(front: Arc<UdpSocket>, node: SocketAddr, weather: Arc<Mutex<Weather>>) {
    let mut ways: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut answers = JoinSet::new();
    let mut datagram = vec![0; 65_535];
    loop {
        let (length, from) = front.recv_from(&mut datagram).await.unwrap();
        let datagram = &datagram[..length];
        if !weather.lock().unwrap().passes(from, node, datagram) {
            continue;
        }
        let way = match ways.entry(from) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let way = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
                way.connect(node).await.unwrap();
                let (back, front) = (Arc::clone(&way), Arc::clone(&front));
                answers.spawn(answer(back, front, node, from, Arc::clone(&weather)));
                unknown.insert(way)
            }
        };
        // A node that is down refuses; that is its affair.
        let _ = way.send(datagram).await;
    }
}

async fn answer(
    way: Arc<UdpSocket>,
    front: Arc<UdpSocket>,
    node: SocketAddr,
    to: SocketAddr,
    weather: Arc<Mutex<Weather>>,
) {
    let mut datagram = vec![0; 65_535];
    loop {
        let Ok(length) = way.recv(&mut datagram).await else {
            continue;
        };
        let datagram = &datagram[..length];
        let passes = weather.lock().unwrap().passes(node, to, datagram);
        if passes {
            let _ = front.send_to(datagram, to).await;
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

pub(crate) const OLD: &str = "1:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
pub(crate) const NEW: &str = "2:ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100";

pub(crate) fn keys(text: &str) -> Keys {
    Keys::new(text.parse().expect("good keys"))
}

pub(crate) fn sealed(options: Options) -> Options {
    Options {
        keys: Some(keys(OLD)),
        ..options
    }
}
