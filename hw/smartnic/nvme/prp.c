/*
 * Physical Region Page entries and lists (NVMe Base 1.4 section 4.3).
 *
 * The first entry may begin anywhere in a page, at a multiple of four; all
 * others are whole pages. The second is the second page, or a list when more
 * than one page is left. A list's last entry in its page is the next list, when
 * more than one entry is left. What a list can make us read is bounded by the
 * length of the data.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ctrl-internal.h"

#define BAD_OFFSET SN_CTRL_GENERIC_DNR(NVME_SC_PRP_INVALID_OFFSET)
#define COPIED 64               /* entries that are read at a time */

/* One entry other than the first, for up to @len bytes. */
static SnCtrlStatus add_page(SnCtrlReq *req, uint64_t entry, size_t len)
{
    return entry & (req->ctrl->page_size - 1)
           ? BAD_OFFSET : sn_ctrl_data_add(req, entry, len);
}

/*
 * One list page, from @list to the end of that page or of the data. *@len is
 * what is left of the data, *@next the list that goes on with it.
 */
static SnCtrlStatus walk_page(SnCtrlReq *req, uint64_t list, size_t *len,
                              uint64_t *next)
{
    SnCtrl *ctrl = req->ctrl;
    uint64_t page = ctrl->page_size;
    unsigned room = (page - (list & (page - 1))) / sizeof(uint64_t);
    uint64_t entries[COPIED];

    while (*len) {
        uint64_t needed = (*len + page - 1) / page;
        unsigned n = MIN(MIN(needed, room), COPIED);

        if (!ctrl->dma->read(ctrl->dma, list, entries, n * sizeof(*entries))) {
            return SN_CTRL_GENERIC(NVME_SC_DATA_XFER_ERROR);
        }
        for (unsigned i = 0; i < n; i++) {
            uint64_t entry = GUINT64_FROM_LE(entries[i]);
            size_t part = MIN(*len, page);
            SnCtrlStatus status;

            if (i + 1 == room && *len > page) {
                *next = entry;
                return 0;       /* the last one of the page, and more to do */
            }
            status = add_page(req, entry, part);
            if (status) {
                return status;
            }
            *len -= part;
        }
        list += n * sizeof(*entries);
        room -= n;
    }
    return 0;
}

SnCtrlStatus sn_ctrl_prp_map(SnCtrlReq *req, size_t len)
{
    uint64_t page = req->ctrl->page_size;
    uint64_t prp1 = GUINT64_FROM_LE(req->sqe.prp1);
    uint64_t prp2 = GUINT64_FROM_LE(req->sqe.prp2);
    size_t first = MIN(len, page - (prp1 & (page - 1)));
    SnCtrlStatus status;

    if (prp1 & 3) {
        return BAD_OFFSET;
    }
    status = sn_ctrl_data_add(req, prp1, first);
    len -= first;
    if (status || !len) {
        return status;
    }
    if (len <= page) {
        return add_page(req, prp2, len);
    }
    if (prp2 & 7) {
        return BAD_OFFSET;
    }
    while (len && !status) {
        uint64_t next = 0;

        status = walk_page(req, prp2, &len, &next);
        if (!status && len && next & (page - 1)) {
            return BAD_OFFSET;          /* a further list begins its page */
        }
        prp2 = next;
    }
    return status;
}
