# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server reads back from its log, which it does as the user `default`."""

from __future__ import annotations

from redis_servers import RedisSet


def test_a_transaction_outlives_its_servers(redis_set: RedisSet) -> None:
    application = redis_set.wait().client(user="app")
    with application.pipeline(transaction=True) as transaction:
        assert transaction.set("stackgate:one", 1).rpush("stackgate:many", 1, 2).execute() == [True, 2]
    assert application.wait(2, 5000) == 2
    redis_set.kill()
    redis_set.start()
    application = redis_set.wait().client(user="app")
    assert (application.get("stackgate:one"), application.llen("stackgate:many")) == ("1", 2)
