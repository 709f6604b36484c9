// Argon2id (RFC 9106) off the page's thread, so that the page stays alive for the third of a second it takes.

import { argon2id } from "hash-wasm";

onmessage = async ({ data }) => {
  try {
    const root = await argon2id({
      password: data.password,
      salt: data.salt,
      iterations: data.passes,
      memorySize: data.memory_kib,
      parallelism: data.lanes,
      hashLength: 32,
      outputType: "binary",
    });
    data.password.fill(0);
    postMessage({ root }, [root.buffer]);
  } catch (fault) {
    postMessage({ fault: String(fault?.message ?? fault) });
  }
};
