//! Which addresses of a subnet are in use.

use crate::Ipv4Subnet;
use std::collections::HashSet;
use std::net::Ipv4Addr;

/// The addresses of one subnet. A free one is looked for after the one given out last, so that an
/// address rests for as long as possible before somebody else has it.
#[derive(Debug)]
pub(crate) struct Addresses {
    subnet: Ipv4Subnet,
    used: HashSet<u32>,
    last: u32,
}

impl Addresses {
    /// All free but the network's own, the broadcast address and the gateway's.
    pub(crate) fn new(subnet: Ipv4Subnet, gateway: Ipv4Addr) -> Self {
        let reserved = [subnet.network(), subnet.broadcast(), gateway];
        let used = reserved.map(Ipv4Addr::to_bits).into_iter().collect();
        Self { subnet, used, last: gateway.to_bits() }
    }

    /// Takes the next free address.
    pub(crate) fn take_next(&mut self) -> Option<Ipv4Addr> {
        let (first, end) = (self.subnet.network().to_bits(), self.subnet.broadcast().to_bits());
        let after = self.last.saturating_add(1)..=end;
        let found = after.chain(first..=self.last).find(|address| !self.used.contains(address))?;
        self.used.insert(found);
        self.last = found;
        Some(Ipv4Addr::from_bits(found))
    }

    /// Takes this address; false when it is not free.
    pub(crate) fn take(&mut self, address: Ipv4Addr) -> bool {
        self.used.insert(address.to_bits())
    }

    /// Whether the subnet has the address.
    pub(crate) fn contains(&self, address: Ipv4Addr) -> bool {
        self.subnet.contains(address)
    }

    /// Gives an address back.
    pub(crate) fn release(&mut self, address: Ipv4Addr) {
        self.used.remove(&address.to_bits());
    }

    /// How many addresses can still be taken.
    pub(crate) fn free(&self) -> usize {
        let all = 1_u64 << (32 - self.subnet.prefix_length());
        usize::try_from(all).unwrap_or(usize::MAX).saturating_sub(self.used.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Addresses {
        Addresses::new("10.0.0.0/29".parse().unwrap(), Ipv4Addr::new(10, 0, 0, 1))
    }

    #[test]
    fn a_released_address_comes_round_last() {
        let mut addresses = small();
        assert_eq!(addresses.free(), 5);
        let first = addresses.take_next().unwrap();
        assert_eq!(first, Ipv4Addr::new(10, 0, 0, 2));
        addresses.release(first);
        for last in 3..=6 {
            assert_eq!(addresses.take_next(), Some(Ipv4Addr::new(10, 0, 0, last)));
        }
        assert_eq!(addresses.take_next(), Some(first));
        assert_eq!(addresses.take_next(), None);
    }

    #[test]
    fn a_wanted_address_is_taken_once() {
        let mut addresses = small();
        let wanted = Ipv4Addr::new(10, 0, 0, 2);
        assert!(addresses.take(wanted));
        assert!(!addresses.take(wanted));
        assert!(!addresses.take(Ipv4Addr::new(10, 0, 0, 1)), "the gateway");
        assert_eq!(addresses.take_next(), Some(Ipv4Addr::new(10, 0, 0, 3)));
    }
}
