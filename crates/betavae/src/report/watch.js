// Replaces the live part by the server's newest, every two seconds while the page is looked at.
const live = document.getElementById('live');
const connection = document.getElementById('connection');
async function update() {
  if (!document.hidden) {
    try {
      const answer = await fetch('live', { cache: 'no-store' });
      if (answer.ok) live.innerHTML = await answer.text();
      connection.hidden = answer.ok;
    } catch {
      connection.hidden = false;
    }
  }
  setTimeout(update, 2000);
}
setTimeout(update, 2000);
