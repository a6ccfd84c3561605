/* node/store/store_disk.h - A sealed copy of the store in LMDB.
 *
 * The log is the truth; this copy saves its replay. Changes are encoded on the loop's
 * thread into a batch, and committed with the applied index in one transaction on a worker,
 * because LMDB binds a transaction to its thread. Values are sealed with
 * XChaCha20-Poly1305 under the node's data key, with kind and id as associated data, so a page that
 * rotted or was exchanged is found.
 *
 *     store_disk_open(path, key, &d, ..)
 *     store_disk_load(d, store)              objects and applied index
 *     store_batch_add(b, changes, applied)   after each store_apply, on the loop
 *     store_disk_commit(d, b)                on a worker; one at a time
 */
#ifndef NODE_STORE_STORE_DISK_H
#define NODE_STORE_STORE_DISK_H

#include "node/store/store.h"

#define STORE_DISK_KEY_LEN 32

struct store_disk;
struct store_batch;

/* `path` is a directory, made if needed; blocks.  ERR_CORRUPT (also: another key), errno, -ENOMEM
 */
NODISCARD int store_disk_open(const char *path, const uint8_t key[STORE_DISK_KEY_LEN],
                              struct store_disk **out, char *why, size_t why_len);
void store_disk_close(struct store_disk *d); /* accepts NULL; wipes the key */

/* Fills an empty store. `why` names what does not open.  ERR_CORRUPT, -ENOMEM */
NODISCARD int store_disk_load(struct store_disk *d, struct store *s, char *why, size_t why_len);

/* --- Batches: changes in order, on the loop's thread until committed. */
NODISCARD int store_batch_new(struct store_batch **out); /* -ENOMEM */
void store_batch_free(struct store_batch *b);            /* accepts NULL; wipes */

/* Appends the changes of one applied entry; the batch is then at `applied`.  -ENOMEM */
NODISCARD int store_batch_add(struct store_batch *b, const struct store_changes *changes,
                              uint64_t applied);
/* Forgets what was added: the batch replaces everything by the store's present content. -ENOMEM */
NODISCARD int store_batch_replace(struct store_batch *b, const struct store *s);
bool store_batch_is_empty(const struct store_batch *b);
uint64_t store_batch_applied(const struct store_batch *b);

/* One durable transaction. The map grows as needed.  ERR_FULL (disk), errno: the copy is as it was,
 * and the log must not be compacted further */
NODISCARD int store_disk_commit(struct store_disk *d, const struct store_batch *b);

#endif /* NODE_STORE_STORE_DISK_H */
