//! Which system calls a container may make: Docker's default policy, or one the user brought,
//! resolved against the container's capabilities into the runtime's form.

mod machine;
mod table;

use crate::error::{Error, Result};
use base_oci::runtime::{Action, Argument, Operator, Seccomp, SyscallRule};
use machine::{HOST, Machine};
use serde::Deserialize;
use std::sync::{Arc, Mutex, PoisonError};
use table::{Answer, Is, RULES, When};

/// A user's profile may not be longer.
const MAX_PROFILE: usize = 1 << 20;
/// The refusal of everything that no rule matches.
const EPERM: u32 = 1;

/// The default policy for a set of capabilities. The last one is kept, since nearly all
/// containers have the same.
pub(crate) fn default_policy(capabilities: &[String]) -> Arc<Seccomp> {
    static LAST: Mutex<Option<(Vec<String>, Arc<Seccomp>)>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((of, policy)) = &*last
        && of == capabilities
    {
        return policy.clone();
    }
    let policy = Arc::new(resolve_default(&HOST, capabilities));
    *last = Some((capabilities.to_vec(), policy.clone()));
    policy
}

fn resolve_default(machine: &Machine, capabilities: &[String]) -> Seccomp {
    let has = |name: &str| capabilities.iter().any(|capability| capability == name);
    let applies = |when: When| match when {
        When::Always => true,
        When::Has(capability) => has(capability),
        When::Lacks(capability) => !has(capability),
        When::On(machines) => machines.contains(&machine.name),
    };
    let rules = RULES.iter().filter(|rule| applies(rule.when)).map(|rule| SyscallRule {
        names: rule.names.split_whitespace().map(str::to_owned).collect(),
        action: Some(match rule.answer {
            Answer::Allow => Action::Allow,
            Answer::Errno(_) => Action::Errno,
        }),
        errno_ret: match rule.answer {
            Answer::Allow => None,
            Answer::Errno(errno) => Some(errno),
        },
        args: arguments(machine, rule.is),
    });
    Seccomp {
        default_action: Some(Action::Errno),
        default_errno_ret: Some(EPERM),
        architectures: [&[machine.native], machine.also]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect(),
        syscalls: rules.collect(),
        ..Seccomp::default()
    }
}

fn arguments(machine: &Machine, is: Is) -> Vec<Argument> {
    let one =
        |index, op, value, value_two| vec![Argument { index, value, value_two, op: Some(op) }];
    match is {
        Is::Any => Vec::new(),
        Is::Less(value) => one(0, Operator::Less, value, None),
        Is::Equal(value) => one(0, Operator::Equal, value, None),
        Is::Greater(value) => one(0, Operator::Greater, value, None),
        // Masked with the bits, the argument is zero.
        Is::WithoutFlags(bits) => one(machine.clone_flags, Operator::MaskedEqual, bits, Some(0)),
    }
}

/// A profile as users write it (`--security-opt seccomp=FILE`).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: Action,
    default_errno_ret: Option<u32>,
    #[serde(default)]
    architectures: Vec<String>,
    #[serde(default)]
    arch_map: Option<Vec<ArchitectureMap>>,
    #[serde(default)]
    flags: Option<Vec<String>>,
    #[serde(default)]
    syscalls: Option<Vec<ProfileRule>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchitectureMap {
    architecture: String,
    sub_architectures: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProfileRule {
    #[serde(default)]
    name: String,
    #[serde(default)]
    names: Vec<String>,
    action: Action,
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Option<Vec<Argument>>,
    #[serde(default)]
    includes: Condition,
    #[serde(default)]
    excludes: Condition,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Condition {
    caps: Vec<String>,
    arches: Vec<String>,
    min_kernel: String,
}

/// A user's profile for a set of capabilities.
pub(crate) fn user_policy(json: &str, capabilities: &[String]) -> Result<Seccomp> {
    resolve(json, &HOST, capabilities)
}

fn resolve(json: &str, machine: &Machine, capabilities: &[String]) -> Result<Seccomp> {
    let wrong = |why: String| Error::invalid(format!("Decoding seccomp profile failed: {why}"));
    if json.len() > MAX_PROFILE {
        return Err(wrong("profile is too long".into()));
    }
    let profile: Profile = serde_json::from_str(json).map_err(|e| wrong(e.to_string()))?;
    if !profile.architectures.is_empty() && profile.arch_map.as_ref().is_some_and(|m| !m.is_empty())
    {
        return Err(wrong("use either 'architectures' or 'archMap'".into()));
    }
    let mut listed = profile.architectures;
    for map in profile.arch_map.unwrap_or_default() {
        if map.architecture == machine.native {
            listed.push(map.architecture);
            listed.extend(map.sub_architectures.unwrap_or_default());
        }
    }
    let mut syscalls = Vec::new();
    for rule in profile.syscalls.unwrap_or_default() {
        if !rule.applies(machine, capabilities) {
            continue;
        }
        let mut names = rule.names;
        if !rule.name.is_empty() {
            if !names.is_empty() {
                return Err(wrong("use either 'name' or 'names'".into()));
            }
            names.push(rule.name);
        }
        syscalls.push(SyscallRule {
            names,
            action: Some(rule.action),
            errno_ret: rule.errno_ret,
            args: rule.args.unwrap_or_default(),
        });
    }
    Ok(Seccomp {
        default_action: Some(profile.default_action),
        default_errno_ret: profile.default_errno_ret,
        architectures: listed,
        flags: profile.flags.unwrap_or_default(),
        syscalls,
        ..Seccomp::default()
    })
}

impl ProfileRule {
    fn applies(&self, machine: &Machine, capabilities: &[String]) -> bool {
        let Self { includes, excludes, .. } = self;
        let has = |capability: &String| capabilities.contains(capability);
        let on = |architecture: &String| architecture == machine.name;
        // `minKernel` conditions name kernels older than any that we run on.
        excludes.min_kernel.is_empty()
            && (includes.arches.is_empty() || includes.arches.iter().any(on))
            && !excludes.arches.iter().any(on)
            && includes.caps.iter().all(has)
            && !excludes.caps.iter().any(has)
    }
}

#[cfg(test)]
mod tests {
    use super::machine::MACHINES;
    use super::*;

    fn rules<'a>(policy: &'a Seccomp, name: &str) -> Vec<&'a SyscallRule> {
        policy.syscalls.iter().filter(|rule| rule.names.iter().any(|n| n == name)).collect()
    }

    #[test]
    fn an_ordinary_container_gets_no_namespaces_and_no_clone3() {
        let policy = default_policy(&["CAP_CHOWN".into(), "CAP_SYS_CHROOT".into()]);
        assert_eq!(rules(&policy, "clone")[0].args[0].value_two, Some(0));
        assert_eq!(rules(&policy, "clone3")[0].errno_ret, Some(38));
        assert!(rules(&policy, "mount").is_empty());
        assert_eq!(rules(&policy, "chroot").len(), 1);
        assert_eq!(rules(&policy, "socket").len(), 3);
    }

    #[test]
    fn an_administrator_gets_both_without_conditions() {
        let policy = default_policy(&["CAP_SYS_ADMIN".into()]);
        assert!(rules(&policy, "clone")[0].args.is_empty());
        assert_eq!(rules(&policy, "clone3")[0].action, Some(Action::Allow));
        assert!(rules(&policy, "chroot").is_empty());
    }

    #[test]
    fn each_machine_has_its_own_architectures_and_calls() {
        let of = |name| {
            let machine = MACHINES.iter().find(|machine| machine.name == name).unwrap();
            resolve_default(machine, &[])
        };
        for (name, architectures, call, elsewhere) in [
            ("amd64", "X86_64 X86 X32", "arch_prctl", "swapcontext"),
            ("arm64", "AARCH64 ARM", "arm_fadvise64_64", "arch_prctl"),
            ("riscv64", "RISCV64", "riscv_flush_icache", "modify_ldt"),
            ("loongarch64", "LOONGARCH64", "read", "riscv_flush_icache"),
            ("ppc64le", "PPC64LE", "swapcontext", "arm_sync_file_range"),
            ("s390x", "S390X S390", "s390_runtime_instr", "sync_file_range2"),
        ] {
            let policy = of(name);
            let listed: Vec<&str> =
                policy.architectures.iter().map(|a| a.trim_start_matches("SCMP_ARCH_")).collect();
            assert_eq!(listed.join(" "), architectures);
            assert_eq!(rules(&policy, call).len(), 1, "{call} on {name}");
            assert!(rules(&policy, elsewhere).is_empty(), "{elsewhere} on {name}");
            let flags = &rules(&policy, "clone")[0].args[0];
            assert_eq!(flags.index, u32::from(name == "s390x"), "clone on {name}");
        }
    }

    #[test]
    fn a_users_profile_is_resolved_against_capabilities_and_machine() {
        let json = r#"{"defaultAction":"SCMP_ACT_ALLOW","archMap":[
            {"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]},
            {"architecture":"SCMP_ARCH_AARCH64","subArchitectures":null}],
            "syscalls":[{"name":"chmod","action":"SCMP_ACT_ERRNO"},
            {"names":["mount"],"action":"SCMP_ACT_ERRNO","excludes":{"caps":["CAP_SYS_ADMIN"]}}]}"#;
        assert_eq!(user_policy(json, &[]).unwrap().syscalls.len(), 2);
        assert_eq!(user_policy(json, &["CAP_SYS_ADMIN".into()]).unwrap().syscalls.len(), 1);
        let of = |index: usize| resolve(json, &MACHINES[index], &[]).unwrap().architectures;
        assert_eq!(of(0), ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]);
        assert_eq!(of(1), ["SCMP_ARCH_AARCH64"]);
        assert!(of(2).is_empty());
        let error = user_policy("{", &[]).unwrap_err();
        assert!(error.to_string().starts_with("Decoding seccomp profile failed: "), "{error}");
    }
}
