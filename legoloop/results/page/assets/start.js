// Unpacks the code of the page and runs it; the code unpacks what it shows in the same way.
globalThis.unpacked = async text => {
  const binary = atob(text), bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
};
const code = await unpacked(document.getElementById('code').textContent);
await import(URL.createObjectURL(new Blob([code], {type: 'text/javascript'})));
