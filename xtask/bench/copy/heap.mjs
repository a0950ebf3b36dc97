// `node heap.mjs PORT`: what the isolate behind workerd's inspector holds after a collection, as one line of JSON.
const port = process.argv[2];
const [target] = await (await fetch(`http://127.0.0.1:${port}/json`)).json();
const socket = new WebSocket(target.webSocketDebuggerUrl);
await new Promise((resolve, reject) => {
  socket.onopen = resolve;
  socket.onerror = () => reject(new Error("workerd's inspector refuses the connection"));
});

let last = 0;
const waiting = new Map();
socket.onmessage = ({ data }) => {
  const { id, result, error } = JSON.parse(data);
  const answer = waiting.get(id);
  waiting.delete(id);
  if (error !== undefined) answer?.reject(new Error(error.message));
  else answer?.resolve(result);
};

function ask(method) {
  last += 1;
  socket.send(JSON.stringify({ id: last, method }));
  return new Promise((resolve, reject) => waiting.set(last, { resolve, reject }));
}

// What the first collection lets go may hold more.
await ask("HeapProfiler.collectGarbage");
await ask("HeapProfiler.collectGarbage");
console.log(JSON.stringify(await ask("Runtime.getHeapUsage")));
socket.close();
