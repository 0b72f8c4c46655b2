//! Tests of the patches for service accounts, also with concurrent changes by others.

use proptest::prelude::*;

use super::*;

fn account(manifest: &Value) -> ServiceAccount {
    let stored: Stored = serde_json::from_value(manifest.clone()).unwrap();
    reduce(&stored).unwrap().1
}

/// Returns the account after a patch, applied as the API server does.
fn patched(manifest: &Value, patch: Value) -> Value {
    let patch: json_patch::Patch = serde_json::from_value(patch).unwrap();
    let mut after = manifest.clone();
    json_patch::patch(&mut after, &patch).unwrap();
    after
}

fn manifest() -> Value {
    json!({"metadata": {
        "namespace": "a", "name": "default", "annotations": {"team": "x"},
    }, "imagePullSecrets": [{"name": "first"}]})
}

#[test]
fn an_entry_comes_last_and_goes_without_a_trace() {
    let before = manifest();
    let with = patched(&before, add(&account(&before), "acr-pull", "uid"));
    assert_eq!(with["imagePullSecrets"], json!([{"name": "first"}, {"name": "acr-pull"}]));
    assert!(account(&with).is_marked("acr-pull", "uid"));
    assert_eq!(patched(&with, remove(&account(&with), "acr-pull", "uid")), before);
}

#[test]
fn an_entry_that_is_there_is_only_marked() {
    let mut before = manifest();
    before["metadata"]["annotations"]["pull-secrets.acr-attach.dev/first"] = "dead".into();
    let after = patched(&before, add(&account(&before), "first", "uid"));
    assert_eq!(after["imagePullSecrets"], before["imagePullSecrets"]);
    assert!(account(&after).is_marked("first", "uid"));
}

#[test]
fn what_others_added_meanwhile_is_not_lost() {
    let read = account(&manifest());
    let mut now = manifest();
    now["imagePullSecrets"] = json!([{"name": "first"}, {"name": "second"}]);
    let patch: json_patch::Patch = serde_json::from_value(add(&read, "acr-pull", "uid")).unwrap();
    json_patch::patch(&mut now.clone(), &patch).unwrap_err();
}

/// The list and the uid in the mark of `first`: as planned, and as read again after others wrote.
#[rstest::rstest]
#[case::others_added_their_own(&[], None, &["first"], None, false)]
#[case::others_added_another(&[], None, &["second"], None, true)]
#[case::another_pass_of_ours_added_it(&[], None, &["first"], Some("uid"), false)]
#[case::others_put_ours_back(&[], Some("uid"), &["first"], Some("uid"), false)]
#[case::of_an_attachment_that_is_gone(&["first"], Some("dead"), &["second", "first"], Some("dead"), true)]
#[case::others_took_that_over(&["first"], Some("dead"), &["second", "first"], None, false)]
#[case::others_took_that_out(&["first"], Some("dead"), &["second"], Some("dead"), true)]
fn what_others_added_meanwhile_stays_theirs(
    #[case] planned: &[&str],
    #[case] planned_mark: Option<&str>,
    #[case] now: &[&str],
    #[case] mark_now: Option<&str>,
    #[case] is_due: bool,
) {
    let read = |list: &[&str], mark: Option<&str>| {
        let mut manifest = manifest();
        set(&mut manifest, &list.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
        if let Some(uid) = mark {
            manifest["metadata"]["annotations"][format!("{MARK}first")] = uid.into();
        }
        account(&manifest)
    };
    let (planned, now) = (read(planned, planned_mark), read(now, mark_now));
    assert_eq!(is_to_gain(&now, &planned, "first", "uid"), is_due);
}

#[test]
fn a_tool_that_applies_the_list_keeps_it() {
    let mut by_kubectl = manifest();
    by_kubectl["metadata"]["annotations"][LAST_APPLIED] =
        json!({"imagePullSecrets": []}).to_string().into();
    assert_eq!(account(&by_kubectl).applied_by.as_deref(), Some("kubectl apply"));
    by_kubectl["metadata"]["annotations"][LAST_APPLIED] = json!({}).to_string().into();
    assert_eq!(account(&by_kubectl).applied_by, None);
}

#[rstest::rstest]
#[case("kustomize-controller", "Apply", true)]
#[case("argocd-controller", "Apply", true)]
#[case("pulumi-kubernetes-1a2b3c4d", "Apply", true)]
#[case("kustomize-controller", "Update", false)]
#[case("openshift.io/image-registry-pull-secrets_service-account-controller", "Apply", false)]
#[case("some-platform", "Apply", false)]
fn a_platform_that_applies_an_entry_of_its_own_does_not(
    #[case] manager: &str,
    #[case] operation: &str,
    #[case] keeps: bool,
) {
    let mut applied = manifest();
    applied["metadata"]["managedFields"] = json!([
        {"manager": "old", "operation": "Update", "time": "2026-11-22T11:00:00Z",
         "fieldsV1": {"f:imagePullSecrets": {}}},
        {"manager": manager, "operation": operation, "time": "2026-11-22T12:00:00Z",
         "fieldsV1": {"f:imagePullSecrets": {}}},
        {"manager": "other", "operation": "Apply", "time": "2026-11-22T13:00:00Z",
         "fieldsV1": {"f:secrets": {}}},
    ]);
    let account = account(&applied);
    assert_eq!(account.applied_by.is_some(), keeps);
    assert_eq!(account.written_by.as_deref(), Some(manager));
}

#[test]
fn an_entry_without_a_name_keeps_its_place() {
    let mut before = manifest();
    before["imagePullSecrets"] = json!([{}, {"name": "first"}, {}]);
    let with = patched(&before, add(&account(&before), "acr-pull", "uid"));
    assert_eq!(with["imagePullSecrets"], json!([{}, {"name": "first"}, {}, {"name": "acr-pull"}]));
    assert_eq!(patched(&with, remove(&account(&with), "acr-pull", "uid")), before);
}

#[test]
fn what_others_append_meanwhile_does_not_keep_an_entry_from_going() {
    let with = patched(&manifest(), add(&account(&manifest()), "acr-pull", "uid"));
    let read = account(&with);
    let mut now = with;
    now["imagePullSecrets"].as_array_mut().unwrap().push(json!({"name": "late"}));
    let after = patched(&now, remove(&read, "acr-pull", "uid"));
    assert_eq!(after["imagePullSecrets"], json!([{"name": "first"}, {"name": "late"}]));
}

/// A change of the list of names, or a read of it.
#[derive(Clone, Debug)]
enum Edit {
    /// Another writer inserts an entry at this position. 0 is an entry without a name.
    Insert(usize, u8),
    /// Another writer removes the entry at this position, unless it is acr-attach's.
    Delete(usize),
    /// acr-attach reads the object.
    Read,
    /// acr-attach adds its entry, by its last read.
    Add,
    /// acr-attach removes its entry, by its last read.
    Remove,
}

fn any_edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        (0usize..9, 0u8..5).prop_map(|(at, n)| Edit::Insert(at, n)),
        (0usize..9).prop_map(Edit::Delete),
        Just(Edit::Read),
        Just(Edit::Add),
        Just(Edit::Remove),
    ]
}

fn names(manifest: &Value) -> Vec<String> {
    account(manifest).pull_secrets.unwrap_or_default()
}

/// Returns the names without acr-attach's.
fn of_others(manifest: &Value) -> Vec<String> {
    names(manifest).into_iter().filter(|it| it != OURS).collect()
}

fn set(manifest: &mut Value, names: &[String]) {
    let list = names.iter().map(|it| entry(it)).collect();
    manifest["imagePullSecrets"] = Value::Array(list);
}

const OURS: &str = "acr-pull";

proptest! {
    #[test]
    fn whatever_others_do_meanwhile_their_entries_and_their_order_stay(
        edits in prop::collection::vec(any_edit(), 1..40),
    ) {
        let mut now = manifest();
        let mut read = account(&now);
        let mut theirs = of_others(&now);
        for edit in edits {
            let mut list = names(&now);
            let by_us = match edit {
                Edit::Insert(at, n) => {
                    let at = at.min(list.len());
                    let before = list[..at].iter().filter(|it| *it != OURS).count();
                    let name = if n == 0 { String::new() } else { format!("theirs-{n}") };
                    list.insert(at, name.clone());
                    theirs.insert(before, name);
                    set(&mut now, &list);
                    None
                }
                Edit::Delete(at) => {
                    if let Some(name) = list.get(at).cloned().filter(|it| it != OURS) {
                        let before = list[..at].iter().filter(|it| *it != OURS).count();
                        prop_assert_eq!(theirs.remove(before), name);
                        list.remove(at);
                        set(&mut now, &list);
                    }
                    None
                }
                Edit::Read => {
                    read = account(&now);
                    None
                }
                Edit::Add => Some(add(&read, OURS, "uid")),
                Edit::Remove => Some(remove(&read, OURS, "uid")),
            };
            if let Some(patch) = by_us {
                // A patch applies as a whole or not at all.
                let patch: json_patch::Patch = serde_json::from_value(patch).unwrap();
                let mut after = now.clone();
                if json_patch::patch(&mut after, &patch).is_ok() {
                    now = after;
                }
            }
            prop_assert_eq!(&of_others(&now), &theirs);
            prop_assert!(names(&now).len() <= theirs.len() + 1, "ours is there twice");
        }
        // Whatever the edits were, a fresh read makes the removal succeed.
        if account(&now).is_marked(OURS, "uid") {
            now = patched(&now, remove(&account(&now), OURS, "uid"));
            prop_assert!(!names(&now).contains(&OURS.to_owned()));
            prop_assert_eq!(&of_others(&now), &theirs);
        }
    }
}
