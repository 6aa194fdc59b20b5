//! `watch`: a run in the browser while it is trained.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::extract::{Path as Name, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;

use betavae::report::{live, live_page};
use betavae::runs::Record;

use crate::args::Watch;
use crate::output::{print, say};

/// Nothing is loaded from elsewhere. The page's own script and the styles of figures are inline.
const POLICY: &str = "default-src 'none'; img-src 'self' data:; connect-src 'self'; \
                      style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

pub fn watch(args: Watch) -> anyhow::Result<()> {
    // A folder that is no run is said here, not in the browser.
    Record::read(&args.run)?;
    if !args.bind.is_loopback() {
        say(&format!("warning: everybody who reaches {} can see this run", args.bind));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(serve(args))
}

async fn serve(args: Watch) -> anyhow::Result<()> {
    let wanted = SocketAddr::new(args.bind, args.port);
    let listener = tokio::net::TcpListener::bind(wanted)
        .await
        .with_context(|| format!("cannot listen on {wanted}: choose another --port"))?;
    let address = listener.local_addr()?;
    let url = format!("http://{address}/");
    print(&url)?;
    say("Ctrl-C ends the watching, not the training");
    if args.open
        && let Err(error) = opener::open(&url)
    {
        say(&format!("open this address in a browser (it did not open by itself: {error})"));
    }
    Ok(axum::serve(listener, router(args.run, address)).await?)
}

/// Everything that is served: the page, its live part, and the pictures of the run's figures folder.
fn router(run: PathBuf, address: SocketAddr) -> Router {
    let run = Arc::new(run);
    Router::new()
        .route("/", get(page))
        .route("/live", get(fragment))
        .route("/figures/{name}", get(picture))
        .with_state(run)
        .layer(map_response(async |mut response: Response| {
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
            let plain = HeaderValue::from_static("nosniff");
            headers.insert(header::X_CONTENT_TYPE_OPTIONS, plain);
            response
        }))
        .layer(from_fn_with_state(address, only_our_name))
}

/// Refuses requests under a name that is not ours: a page elsewhere could have its own name point here and
/// then read what we answer.
async fn only_our_name(
    State(address): State<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let name = host.map(|host| host.rsplit_once(':').map_or(host, |(name, _)| name));
    let bare = name.map(|name| name.trim_start_matches('[').trim_end_matches(']'));
    let ours = match bare {
        Some("localhost") => true,
        // Bound to all addresses, any of them may be meant, but no name.
        Some(text) => text.parse().is_ok_and(|ip: IpAddr| {
            ip == address.ip() || ip.is_loopback() || address.ip().is_unspecified()
        }),
        None => false,
    };
    if ours { next.run(request).await } else { StatusCode::FORBIDDEN.into_response() }
}

async fn page(State(run): State<Arc<PathBuf>>) -> Response {
    html(Record::read(&run).map(|record| {
        let fragment = live(&record, &newest_pictures(&run));
        live_page(&record, &fragment)
    }))
}

async fn fragment(State(run): State<Arc<PathBuf>>) -> Response {
    html(Record::read(&run).map(|record| live(&record, &newest_pictures(&run))))
}

fn html(answer: betavae::Result<String>) -> Response {
    match answer {
        Ok(text) => Html(text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn picture(State(run): State<Arc<PathBuf>>, Name(name): Name<String>) -> Response {
    // What is asked for is only ever compared with what is there.
    let Some((_, path)) = pictures(&run).into_iter().find(|(known, _)| *known == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    match fs::read(&path) {
        Ok(bytes) => ([(header::CONTENT_TYPE, "image/png")], bytes).into_response(),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Names and paths of the PNG files in the figures folder; links are none.
fn pictures(run: &Path) -> Vec<(String, PathBuf)> {
    let Ok(entries) = fs::read_dir(run.join("figures")) else { return Vec::new() };
    let mut found: Vec<(String, PathBuf)> = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .filter(|(name, _)| name.ends_with(".png"))
        .collect();
    found.sort();
    found
}

/// Addresses of the newest picture of each kind that checkpoints come with.
fn newest_pictures(run: &Path) -> Vec<String> {
    let known = pictures(run);
    let newest = |kind: &str| known.iter().rev().find(|(name, _)| is_preview(name, kind));
    let addresses = ["traversal", "reconstructions"].into_iter().filter_map(newest);
    addresses.map(|(name, _)| format!("figures/{name}")).collect()
}

fn is_preview(name: &str, kind: &str) -> bool {
    let step =
        name.strip_prefix("step-").and_then(|rest| rest.strip_suffix(&format!("-{kind}.png")));
    step.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
}
