//! Nodes on a bad network, in one process.

use std::net::{IpAddr, SocketAddr};

use mesh::gossip::{Keys, Options};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::nodes::Node;
pub(crate) use crate::relay::Dice;
use crate::relay::{Weather, relay};

/// What lies between some nodes. Whoever is started in it advertises its relay.
#[derive(Default)]
pub(crate) struct Network {
    weather: Weather,
    relays: JoinSet<()>,
    seeds: Vec<SocketAddr>,
    /// Who is on which side of a cut.
    sides: Vec<(IpAddr, usize)>,
}

impl Network {
    pub(crate) fn losing(percent: u64) -> Self {
        let network = Self::default();
        network.weather.conditions().loss = percent;
        network
    }

    /// Starts a node on `side`, which knows every node that was started before.
    pub(crate) async fn start(&mut self, options: Options, side: usize) -> Node {
        let front = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let advertised = front.local_addr().unwrap();
        let last = u8::try_from(self.sides.len() + 2).expect("there are few nodes");
        let address = IpAddr::from([127, 0, 0, last]);
        let node = Node::start(Options {
            bind: SocketAddr::new(address, 0),
            advertise: Some(advertised),
            seeds: self.seeds.iter().map(ToString::to_string).collect(),
            ..options
        });
        let node = node.await;
        self.seeds.push(advertised);
        self.sides.push((address, side));
        let (_, at) = watch::channel(Some(node.address()));
        self.relays.spawn(relay(front, at, self.weather.clone()));
        node
    }

    /// Cuts whoever is on one side off from whoever is on another.
    pub(crate) fn cut(&self) {
        let pairs = self
            .sides
            .iter()
            .flat_map(|a| self.sides.iter().map(move |b| (a, b)));
        let apart = pairs.filter(|((_, a), (_, b))| a != b);
        let cuts = apart.map(|((a, _), (b, _))| (*a, *b)).collect();
        self.weather.conditions().cuts = cuts;
    }

    pub(crate) fn heal(&self) {
        self.weather.conditions().cuts.clear();
    }

    pub(crate) fn lost(&self) -> u64 {
        self.weather.conditions().lost
    }

    pub(crate) fn record(&self) {
        self.weather.conditions().tape = Some(Vec::new());
    }

    pub(crate) fn recorded(&self) -> Vec<Vec<u8>> {
        let conditions = self.weather.conditions();
        let tape = conditions.tape.iter().flatten();
        tape.map(|(_, bytes)| bytes.clone()).collect()
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
