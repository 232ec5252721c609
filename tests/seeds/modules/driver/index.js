// What the drivers share: what they were told, how they wait for what a client sees, and how they tell it.

export const config = JSON.parse(process.argv[2]);

// The clients print what happens; here only `report` does.
console.log = () => {};

globalThis.WebSocket ??= (await import('ws')).default;

const waiting = new Set();

// A client saw something: who waits looks again.
export function changed() {
  for (const look of [...waiting]) look();
}

// Wait until the condition holds; whoever waits in vain is ended by the test.
export function until(condition) {
  return new Promise((resolve) => {
    const look = () => {
      if (!condition()) return;
      waiting.delete(look);
      resolve();
    };
    waiting.add(look);
    look();
  });
}

// Let the model go on where its script told it to hold.
export async function release() {
  await fetch(config.release, { method: 'POST' });
}

// Print what was seen, as JSON, and end.
export function report(seen) {
  process.stdout.write(JSON.stringify(seen), () => process.exit(0));
}
