//! What every backend of the control store must do: a broken endpoint is told once for each breakage.

use super::conformance::{NOW, on_every_backend, stripe};
use super::conformance_people::{mail, session_of};
use super::*;

#[tokio::test]
async fn a_breakage_is_told_once_and_the_next_one_again() {
    on_every_backend(async |store| {
        let connected = store.connect(stripe("acme", "whsec_1"), "test", NOW).await.unwrap();
        let (acme, endpoint) = (connected.vendor, connected.endpoint_id.as_str());
        let person = session_of(&*store, "owner@example.com").await.person().unwrap();
        store.add_member(acme, person, Role::Owner, "test", NOW).await.unwrap();
        assert!(store.watched_endpoints(NOW).await.unwrap().is_empty(), "nothing was refused");
        store.put_failures(acme, endpoint, "writer", "[1]", NOW).await.unwrap();
        store.put_failures(acme, endpoint, "other", "[2]", NOW).await.unwrap();
        let watched = store.watched_endpoints(NOW).await.unwrap();
        assert_eq!((watched.len(), watched[0].endpoint.as_str(), watched[0].slug.as_str()), (1, endpoint, "acme"));
        assert_eq!((watched[0].connection, watched[0].broken_since), (connected.connection, None));
        let mut lists = watched[0].lists.clone();
        lists.sort();
        assert_eq!(lists, ["[1]", "[2]"]);
        assert_eq!(watched[0].people.iter().map(|one| one.email.as_str()).collect::<Vec<_>>(), ["owner@example.com"]);
        let waiting = async || store.claim_mails(&["test"], 10, NOW).await.unwrap().len();
        waiting().await;
        for (cause, is_first) in [("broken 1", true), ("broken 2", false)] {
            let mails = vec![mail(cause, Some(acme))];
            assert_eq!(store.note_broken(acme, endpoint, NOW, mails, NOW).await.unwrap(), is_first);
            assert_eq!(waiting().await, usize::from(is_first));
        }
        assert_eq!(store.watched_endpoints(NOW).await.unwrap()[0].broken_since, Some(NOW));
        store.note_well(acme, endpoint).await.unwrap();
        assert_eq!(store.watched_endpoints(NOW).await.unwrap()[0].broken_since, None);
        assert!(store.note_broken(acme, endpoint, NOW, vec![mail("broken 3", None)], NOW).await.unwrap());
        assert_eq!(waiting().await, 1);
        store.close_connection(acme, connected.connection, "test", NOW).await.unwrap();
        assert!(store.watched_endpoints(NOW).await.unwrap().is_empty(), "whoever closes it knows");
        store.forget_vendor(acme, "test", NOW).await.unwrap();
    })
    .await;
}
