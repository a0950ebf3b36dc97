//! SIGKILL, at any moment.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;
use std::sync::mpsc;

use serde_json::Value;
use slipway_stack::rpm::Rpm;

use crate::support::{
    Addresses as _, BOUNDARY, JAMMY, PUBLIC, Process, Scratch, basic, deb, eventually, form, get, has, send, sha256,
};

const STABLE: &str = "harbour/stable";

/// Follows the redirect by hand, as a client without a credential.
fn fetch(depot: &Process, filename: &str) -> Vec<u8> {
    let url = format!("{}/{STABLE}/packages/ubuntu/jammy/{filename}/download", depot.url());
    let redirect = get(&url, None);
    get(redirect.header("location").expect("a package can be downloaded"), None).body
}

#[test]
fn a_killed_depot_has_everything_again_when_it_starts() {
    let folder = Scratch::new();
    let depot = Process::start(folder.path());
    let file = deb("tug", "1.0-1", "one");
    for package in [&file, &deb("pilot", "1.0-1", "two")] {
        assert_eq!(depot.push(STABLE, PUBLIC, JAMMY, package).status, 201);
    }
    let pilot = format!("{}/api/v1/repos/{STABLE}/ubuntu/jammy/pilot_1.0-1_amd64.deb", depot.url());
    assert_eq!(send("DELETE", &pilot, Some(PUBLIC), &[], b"").status, 200);
    let journal = depot.journal();
    let key = get(&format!("{}/{STABLE}/gpgkey", depot.url()), None).text();
    depot.kill();

    let depot = Process::start(folder.path());
    assert_eq!(depot.journal(), journal);
    assert_eq!(depot.filenames(STABLE, PUBLIC), ["tug_1.0-1_amd64.deb"]);
    assert_eq!(fetch(&depot, "tug_1.0-1_amd64.deb"), file);
    assert_eq!(get(&format!("{}/{STABLE}/gpgkey", depot.url()), None).text(), key, "machines trust the old key");
    let packages = get(&format!("{}/{STABLE}/ubuntu/dists/jammy/main/binary-amd64/Packages", depot.url()), None).text();
    assert!(packages.contains(&format!("SHA256: {}\n", sha256(&file))), "{packages}");
    assert!(!packages.contains("pilot"), "a deleted package is back:\n{packages}");
    depot.wait_until_indexed(STABLE, PUBLIC, 1);
}

#[test]
fn a_killed_depot_serves_its_rpms_again() {
    if !has("rpmbuild") {
        return;
    }
    let folder = Scratch::new();
    let depot = Process::start(folder.path());
    let tug = Rpm {
        name: "tug".to_owned(),
        version: "1.0.0".to_owned(),
        release: "1.el9".to_owned(),
        architecture: "x86_64".to_owned(),
        epoch: Some(1),
        contents: "one\n".to_owned(),
    };
    let file = tug.build().expect("rpmbuild builds it");
    let pushed = depot.push(STABLE, PUBLIC, "240", &file);
    assert_eq!(pushed.status, 201, "{}", pushed.text());
    depot.kill();

    let depot = Process::start(folder.path());
    depot.wait_until_indexed(STABLE, PUBLIC, 1);
    let mut shown = depot.api(&format!("repos/{STABLE}/package/rpm/el/9/tug/x86_64/1.0.0/1.el9.json"), PUBLIC).json();
    let mut before = pushed.json();
    for details in [&mut shown, &mut before] {
        let details = details.as_object_mut().expect("an object");
        // The port is another one, and by now it is indexed.
        details.remove("download_url");
        details.remove("indexed");
    }
    assert_eq!(shown, before);
    let base = format!("{}/{STABLE}/el/9/x86_64", depot.url());
    let repomd = get(&format!("{base}/repodata/repomd.xml"), None).text();
    let primary = repomd.split('"').find(|text| text.contains("-primary.xml.gz")).expect("it names the list");
    let mut list = String::new();
    let bytes = get(&format!("{base}/{primary}"), None).body;
    flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut list).expect("it is gzip");
    assert!(list.contains(&sha256(&file)) && list.contains("epoch=\"1\""), "{list}");
    assert_eq!(get(&format!("{base}/{}", tug.file_name()), None).body, file);
}

#[test]
fn an_upload_cut_off_by_a_kill_was_never_there() {
    let folder = Scratch::new();
    let depot = Process::start(folder.path());
    let body = form(JAMMY, &deb("tug", "1.0-1", &"some contents ".repeat(1000)));
    let host = depot.url().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&host).expect("depot listens");
    write!(
        stream,
        "POST /api/v1/repos/{STABLE}/packages.json HTTP/1.1\r\nHost: {host}\r\nAuthorization: {}\r\n\
         Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {}\r\n\r\n",
        basic(PUBLIC),
        body.len()
    )
    .and_then(|()| stream.write_all(&body[..body.len() / 2]))
    .expect("depot reads");
    let incoming = folder.path().join("data/incoming");
    let uploads = || std::fs::read_dir(&incoming).map_or(0, Iterator::count);
    eventually("the upload is on disk", || (uploads() == 1).then_some(()));
    depot.kill();

    let depot = Process::start(folder.path());
    assert_eq!(uploads(), 0, "half an upload stayed");
    assert_eq!(depot.filenames(STABLE, PUBLIC), [""; 0]);
    assert_eq!(depot.journal(), [Value::Null; 0]);
}

#[test]
fn a_push_that_was_answered_survives_a_kill_at_any_moment() {
    let folder = Scratch::new();
    let mut accepted: Vec<(String, String)> = Vec::new();
    // After so many answers the process is killed, while the next pushes are under way.
    for (round, answers_before_kill) in [1, 4, 2, 7].into_iter().enumerate() {
        let depot = Process::start(folder.path());
        let url = format!("{}/api/v1/repos/{STABLE}/packages.json", depot.url());
        let (answered, answers) = mpsc::channel();
        let pushers: Vec<_> = (0..3)
            .map(|pusher| {
                let (url, answered) = (url.clone(), answered.clone());
                std::thread::spawn(move || {
                    for number in 0.. {
                        let file = deb("tug", &format!("{round}.{pusher}.{number}"), &format!("{round} {number}"));
                        let agent = ureq::Agent::new_with_defaults();
                        let request = agent
                            .post(&url)
                            .header("authorization", basic(PUBLIC))
                            .header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"));
                        // An error is the kill: this push was not answered.
                        let Ok(answer) = request.send(form(JAMMY, &file).as_slice()) else { return };
                        assert_eq!(answer.status().as_u16(), 201);
                        let name = format!("tug_{round}.{pusher}.{number}_amd64.deb");
                        if answered.send((name, sha256(&file))).is_err() {
                            return;
                        }
                    }
                })
            })
            .collect();
        accepted.extend(answers.iter().take(answers_before_kill));
        depot.kill();
        for pusher in pushers {
            pusher.join().expect("every answer was 201");
        }
        drop(answered);
        // Answered before the kill, read after it.
        accepted.extend(answers.iter());

        let depot = Process::start(folder.path());
        let listed = depot.filenames(STABLE, PUBLIC);
        for (filename, digest) in &accepted {
            assert!(listed.contains(filename), "{filename} was accepted and is lost");
            assert_eq!(&sha256(&fetch(&depot, filename)), digest, "{filename} has other bytes");
        }
        assert_eq!(depot.journal().len(), listed.len());
        depot.kill();
    }
    assert!(accepted.len() >= 14, "only {} pushes were answered", accepted.len());
}

#[test]
fn a_folder_has_one_depot_at_a_time() {
    let folder = Scratch::new();
    let depot = Process::start(folder.path());
    let mut second = std::process::Command::new(env!("CARGO_BIN_EXE_depot"))
        .args(["serve", "--data"])
        .arg(folder.path().join("data"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command was built");
    // It says that it is ready, or ends without a word there.
    let mut ready = String::new();
    BufReader::new(second.stdout.take().expect("it is piped"))
        .read_line(&mut ready)
        .expect("it says something or ends");
    let _ = second.kill();
    let ended = second.wait_with_output().expect("it has ended");
    assert_eq!(ready, "", "two depots use one folder");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("another depot uses"), "{said}");
    assert_eq!(depot.api("repos.json", PUBLIC).status, 200, "the first one goes on");
}
