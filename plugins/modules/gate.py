#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: gate
short_description: Wait until a stage is true
version_added: 0.1.0
author:
  - The stackgate authors (@stackgate)
description:
  - Asks any number of typed conditions about one namespace at the same time, once a second, until all of them hold at the same moment.
  - Ends at once when a condition cannot come to hold by waiting (image pull, crash loop, unschedulable pod, out of memory, failed Job,
    refused pod, missing Secret), and says which pod, which image, which node, with the last log lines and events.
  - Says on the terminal what it waits for, while it waits.
  - Changes nothing in the cluster, but for what the steps of a C(journey) do as a visitor of the application, and the one document that
    a C(mongodb) condition writes, the rows of a C(postgresql) one, and the one key of a C(redis) one.
  - Runs in ansible's own process. C(docs/gates.md) explains each kind and the rules behind it.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - stackgate.k3s.registry
attributes:
  check_mode:
    description: Asks each condition once and reports in O(ignore:holds) what it saw; never waits, never fails. A C(journey) does not begin.
    support: full
  diff_mode:
    description: There is never a difference to show.
    support: none
options:
  namespace:
    description: The namespace that all conditions are about.
    type: str
    required: true
  stage:
    description: What the gate is called in messages, after the stage that it ends.
    type: str
    default: ''
  conditions:
    description:
      - What must hold. Each is a dictionary with the key C(kind), the kind's own keys, and optionally C(timeout) and C(stable) (seconds),
        which take the place of O(timeout) and O(stable) for this condition.
      - C(rollout) with C(resource) (C(Deployment/web), C(StatefulSet/x) or C(DaemonSet/x)). As many pods as wanted run, all of the present
        revision, available and ready, with the image that the registry has under the reference, on nodes that answer, and do not restart.
        C(images) (container to reference) compares the references too. C(verify_images=false) compares no digests. C(settle) (15) is for
        how many seconds a container that has restarted, or that has no probe, must have run.
      - C(job) with C(name). The Job is complete.
      - C(pvc) with C(name), or C(selector) (labels) and C(minimum) (1). Bound with the wanted size, or waiting for its first pod.
      - C(endpoints) with C(service) and C(minimum) (1). So many ready addresses, all on nodes that answer.
      - C(ingress) with C(name), C(ingress_class) (any), C(address) (true). It exists, has the class and an address.
      - C(hpa) with C(name). ScalingActive, AbleToScale, and it has metrics.
      - C(pdb) with C(name) and C(allowed) (1). Enough healthy pods, and so many may be taken away.
      - C(tcp) with C(port) and one of C(service) (every ready pod behind it), C(pod), C(address). Something accepts connections;
        with C(send) and C(expect) it answers with that text. C(request_timeout) (5) is in seconds.
      - C(http) with one of C(ingress) (every one of its addresses), C(service) (every ready pod behind it), C(pod), C(url), and C(port),
        C(scheme) (http), C(host), C(path) (/), C(method) (GET). The answer has C(status) (200; one or a list), the text or texts C(body),
        and C(headers) (name to regular expression). Over https, C(tls_name), C(ca_cert) (PEM text or file) and C(tls_verify) (true).
        C(request_timeout) (5) is in seconds. Redirects are not followed.
      - C(mongodb) with C(set) (the replica set's name), C(members) (as the option of M(stackgate.k3s.mongodb_replica_set)) and
        C(credentials_secret). Every member answers and is in its place, one is a writable primary that a majority sees, all have one
        configuration, secondaries are within C(max_lag) (10) seconds, clocks within C(max_clock_skew) (1); and a write is acknowledged by a
        majority and read back, unless C(write_probe=false).
      - C(postgresql) with C(scope), C(members) (as the option of M(stackgate.k3s.patroni_cluster)). Patroni answers on every member, one
        leads, the others stream from it on its timeline and are within C(max_lag) (16777216) bytes, commits wait for a replica or not as
        C(synchronous) (either) says, and no parameter waits for a restart. With C(credentials_secret), a commit as the application is
        read back from a replica, unless C(write_probe=false). It goes through C(pooler_port) (pooled) of every pod of the DaemonSet
        C(proxies), and to the leader without. With C(tls_secret), each of these presents the certificate in that Secret, for C(tls_name)
        (postgresql), and its C(ca.crt) has signed it.
      - C(redis) with C(servers), C(sentinels) (none), C(name) (redis), C(port) (6379), C(sentinel_port) (26379) and C(credentials)
        (C(secret), C(username) (admin), C(key)), as the options of M(stackgate.k3s.redis_sentinel). Everybody answers, one server is
        master, the others follow it with their links up and within C(max_lag_bytes) (1048576); all sentinels are of one mind, know everyone
        wanted and no one else, and can reach the quorum. With C(service) and C(application_secret), a write as the application is
        acknowledged by a replica and read back through every pod behind the Service, of which there are C(proxies) (1) at least, unless
        C(write_probe=false).
      - C(s3) with C(service) (every ready pod behind it) or C(url), C(port), C(scheme) (http), C(tls_name), C(ca_cert),
        C(tls_verify) (true), C(region) (us-east-1). Object storage takes writes; C(health=false) where the server is not MinIO. With
        C(admin), all drives are there, C(drives) of them, and none is healing. With C(bucket) and C(credentials), an object is put, read,
        compared and deleted through every server. C(admin) and C(credentials) have C(secret), C(access_key) (access-key) and
        C(secret_key) (secret-key), the keys in it. C(request_timeout) (10) is in seconds.
      - C(journey) with one of C(ingress), C(service), C(pod), C(url), and C(steps). A visitor's conversation with the application.
        C(name), C(port), C(scheme), C(host), C(tls_name), C(ca_cert), C(tls_verify), C(request_timeout) (15) as above. C(secrets)
        (name to C(secret) and C(key)) are read from Secrets when it begins, and never shown; C(variables) (name to value) are plain;
        C(${run}) is a random text. C(csrf) (C(cookie), C(header)) sends a token back with every request that changes something.
        A step has C(name), C(path), C(method) (GET), C(host), C(session) (whose cookies), one of the bodies C(form), C(json),
        C(multipart) (a field is a text, or a file from C(png) (as C(64x64)) or C(text), with C(filename) and C(type)), C(headers),
        C(follow) (redirects), C(expect) (C(status), C(body), C(headers), C(json) as path to value), C(save) (name to C(json path),
        C(cookie name), C(header name) or C(regex expression)), C(retry) (ask until it is as expected), C(always) (clean-up, done
        after a failure too).
        C(${name}) in any text of a step stands for a value.
    type: list
    elements: dict
    required: true
  timeout:
    description: Seconds that the whole gate may take.
    type: float
    default: 300
  interval:
    description: Seconds from one round of questions to the next.
    type: float
    default: 1
  stable:
    description: Seconds for which every condition must hold without a break.
    type: float
    default: 0
  unschedulable_after:
    description: Seconds after which a pod that fits on no node is a failure. More where nodes are made on demand.
    type: float
    default: 60
"""

EXAMPLES = r"""
- name: Hold until the database and its service are there
  stackgate.k3s.gate:
    namespace: wesago
    stage: data
    conditions:
      - kind: rollout
        resource: StatefulSet/postgresql
      - kind: endpoints
        service: postgresql
      - kind: tcp
        service: postgresql
        port: 5432

- name: Hold until the site answers through the ingress, for ten seconds without a break
  stackgate.k3s.gate:
    namespace: wesago
    stage: edge
    stable: 10
    conditions:
      - kind: ingress
        name: wesago
        ingress_class: traefik
      - kind: http
        ingress: wesago
        host: wesago.k3s
        body: Misago
        headers:
          Content-Type: text/html
        timeout: 60

- name: Log in, post, and read the post back as somebody else
  stackgate.k3s.gate:
    namespace: wesago
    stage: verify
    conditions:
      - kind: journey
        name: post a thread
        ingress: wesago
        secrets:
          password:
            secret: wesago-admin
            key: password
        csrf:
          cookie: csrftoken
          header: X-CSRFToken
        steps:
          - name: open the forum
            path: /
            session: admin
          - name: log in
            method: POST
            path: /api/auth/
            session: admin
            json:
              username: admin
              password: ${password}
          - name: post a thread
            method: POST
            path: /api/threads/
            session: admin
            json:
              category: 3
              title: Gate ${run}
              post: Written by the gate ${run}.
            save:
              thread: json id
              url: json url
          - name: read it as a visitor
            path: ${url}
            session: visitor
            expect:
              body: Written by the gate ${run}.
          - name: delete it
            method: DELETE
            path: /api/threads/${thread}/
            session: admin
            always: true
"""

RETURN = r"""
holds:
  description: Whether all conditions hold. False only in check mode and on failure.
  returned: always
  type: bool
waited:
  description: Seconds that the gate took.
  returned: always
  type: float
msg:
  description: One line when the gate holds; else the whole report, of many lines, the failed conditions first.
  returned: always
  type: str
conditions:
  description: What was seen of each condition, in the order of O(conditions).
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The condition in short.
      type: str
      returned: always
      sample: rollout Deployment/web
    kind:
      description: Its kind.
      type: str
      returned: always
    state:
      description: V(holds), V(waiting), or V(failed) when it cannot come to hold by waiting, or its own time is over.
      type: str
      returned: always
    expected:
      description: The state that should hold.
      type: str
      returned: always
    seen:
      description: What was seen last.
      type: str
      returned: always
      sample: 1/2 ready, web-7d4b9-x2x9q ContainerCreating (pulling image "registry.k3s:5000/stackgate/web:1f0c")
    hint:
      description: What to try. Empty when it holds, or when nothing better is known than what was seen.
      type: str
      returned: always
    waited:
      description: Seconds until it held, or until the gate ended.
      type: float
      returned: always
    timed_out:
      description: Whether its time was over before it held.
      type: bool
      returned: always
    data:
      description: Details that depend on the kind, such as C(reason) and C(pod) of a failure, or C(status) and C(seconds) of an answer.
      type: dict
      returned: always
    evidence:
      description: Events and last log lines of what a condition failed on, with what looks like a secret masked.
      type: list
      elements: dict
      returned: always
      contains:
        title:
          description: What the lines are.
          type: str
          returned: always
        lines:
          description: The lines.
          type: list
          elements: str
          returned: always
"""
