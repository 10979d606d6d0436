"""Take each guard out of a copy of the code in turn, and see a test fail: `make mutations`, a few minutes.

`python tests/faults/mutations.py --write` writes the table of guards into README.md beside this file.
tests/faults/test_mutations.py checks that each guard is in the code.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = Path(__file__).with_name("README.md")


@dataclass(frozen=True)
class Mutation:
    """One guard, how it is taken out, and the test that fails without it."""

    guard: str
    file: str
    old: str
    new: str
    test: str


MUTATIONS = (
    Mutation(
        "the fence: only the worker that began a number may settle it",
        "ringproof/ledger/lua/number/settle.lua",
        "if record.fence ~= fence then return 'stale' end",
        "",
        "tests/ledger/test_ledger.py::test_only_the_fence_of_begin_may_settle",
    ),
    Mutation(
        "a settle or a cancel changes its own request only",
        "ringproof/ledger/lua/number/settle.lua",
        "if record.request ~= request then return 'stale' end",
        "",
        "tests/ledger/test_ledger.py::test_the_cancel_of_a_replaced_request_does_not_change_the_newer_one",
    ),
    Mutation(
        "a damaged record does not keep the agenda from being worked off",
        "ringproof/ledger/lua/agenda/work_off.lua",
        "if is_damaged(key) then",
        "if false then",
        "tests/ledger/test_agenda.py::test_a_damaged_record_does_not_keep_the_agenda_from_being_worked_off",
    ),
    Mutation(
        "a page with a damaged record is not fed",
        "ringproof/ledger/lua/batch/feed.lua",
        "for _, row in ipairs(page) do read(key_of_record(row.number)) end\n",
        "",
        "tests/batches/test_batches.py::TestTheFeeder::test_changes_nothing_while_a_record_of_the_page_is_damaged",
    ),
    Mutation(
        "a settle of many that fails has counted nothing",
        "ringproof/ledger/lua/number/settle.lua",
        "for _, key in ipairs(KEYS) do records[key] = read(key) end\n",
        "",
        "tests/ledger/test_ledger.py::TestManyAtOnce::test_a_call_that_fails_because_of_a_damaged_record_has_counted_nothing",
    ),
    Mutation(
        "the intent is written before the POST",
        "ringproof/ledger/lua/number/begin.lua",
        "set_state(key, record, number, 'sending', '', lease_until)",
        "",
        "tests/faults/test_points.py::test_a_killed_process_leaves_a_record_that_says_what_may_be_out",
    ),
    Mutation(
        "a probe that ends without a code gives its place back",
        "ringproof/ledger/lua/lib/transition.lua",
        "    give_probe_back(record, number)\n",
        "",
        "tests/ledger/test_breaker.py::test_a_probe_that_ends_without_a_code_gives_its_place_to_the_next_number",
    ),
    Mutation(
        "the cooldown goes on after an erasure and a sync",
        "ringproof/ledger/lua/number/mark_verified.lua",
        "    put(key, 'code_sent_at', code_sent_at)\n",
        "",
        "tests/batches/test_erasure.py::test_the_cooldown_goes_on_after_a_sync_has_brought_the_verified_number_back",
    ),
    Mutation(
        "a person's code counts from when its request is accepted",
        "ringproof/ledger/lua/lib/request.lua",
        "  if asked.lane == 'interactive' then note_person(key, record, asked, number) end\n",
        "",
        "tests/ledger/test_caps_on_people.py::test_requests_of_the_same_moment_do_not_pass_a_cap",
    ),
    Mutation(
        "a person who takes over a row counts, too",
        "ringproof/ledger/lua/number/accept.lua",
        "  note_person(key, record, asked, number)\n",
        "",
        "tests/ledger/test_caps_on_people.py"
        "::test_a_person_who_takes_over_a_row_counts_and_is_refused_before_the_row_is_touched",
    ),
    Mutation(
        "a request that may have sent a code goes on counting when its doubt ends",
        "ringproof/ledger/lua/lib/transition.lua",
        "state == 'failed' and reason ~= 'in_doubt' and reason ~= 'crashes_worker'",
        "state == 'failed'",
        "tests/ledger/test_caps_on_people.py::TestTheWayBack::test_and_not_when_a_doubt_ends_without_an_answer",
    ),
    Mutation(
        "the parts of a cap's time span no less than the whole of it",
        "ringproof/ledger/lua/lib/people.lua",
        "for part = newest, newest - parts, -1 do",
        "for part = newest, newest - parts + 1, -1 do",
        "tests/ledger/test_caps_on_people.py::test_in_no_hour_more_codes_are_accepted_wherever_it_begins",
    ),
    Mutation(
        "many waiting numbers of one requester do not hold up another one",
        "ringproof/ledger/lua/lib/line.lua",
        "return ends_at + (tonumber(record.steps_back) or 0)",
        "return ends_at",
        "tests/ledger/test_requesters.py"
        "::test_fifty_waiting_numbers_of_one_requester_do_not_hold_up_the_first_of_another",
    ),
    Mutation(
        "Redis has an HMAC of a requester, and not the requester",
        "ringproof/ledger/lua/lib/people.lua",
        "return hmac(redis.call('GET', secret_key), named):sub(1, 16)",
        "return named",
        "tests/ledger/test_requesters.py"
        "::test_redis_has_an_hmac_of_the_requester_which_is_forgotten_two_days_after_the_last_one",
    ),
    Mutation(
        "an open breaker serves a number that was verified before",
        "ringproof/ledger/lua/lib/breaker.lua",
        "return breaker.is_open and not is_verified(record) and breaker.next or 0",
        "return breaker.is_open and breaker.next or 0",
        "tests/ledger/test_breaker.py::test_a_number_that_was_verified_before_is_served_while_it_is_open",
    ),
    Mutation(
        "only probes close an open breaker",
        "ringproof/ledger/lua/lib/breaker.lua",
        "  if breaker.is_open and record.sample ~= 'probe' then return end",
        "",
        "tests/ledger/test_breaker.py::test_codes_from_before_it_opened_do_not_close_it",
    ),
    Mutation(
        "a code is judged as not entered only once Plivo's list was read after its end",
        "ringproof/ledger/lua/agenda/work_off.lua",
        "if milliseconds(scan, 'looked') > expires_at then judge_code",
        "if true then judge_code",
        "tests/ledger/test_breaker.py::test_a_code_is_not_judged_before_plivos_list_was_read_after_its_end",
    ),
    Mutation(
        "codes of batches and to verified numbers are not judged",
        "ringproof/ledger/lua/lib/breaker.lua",
        "local is_judged = record.lane == 'interactive' and not is_verified(record)",
        "local is_judged = true",
        "tests/ledger/test_breaker.py::test_the_codes_of_batches_and_of_verified_numbers_are_not_judged",
    ),
    Mutation(
        "accept reads `live_until`: no new request while a code may live",
        "ringproof/ledger/lua/lib/request.lua",
        "(live_until > now and ':live' or '')",
        "''",
        "tests/faults/test_races.py::test_of_many_changes_at_once_one_wins_and_the_others_learn_it",
    ),
    Mutation(
        "begin reads `live_until`: no send while another code may live",
        "ringproof/ledger/lua/number/begin.lua",
        "local not_before = live_until",
        "local not_before = 0",
        "tests/ledger/test_ledger.py::test_a_queued_request_does_not_begin_while_another_code_may_be_live",
    ),
    Mutation(
        "begin looks at the list of countries: one that is shortened stops what is queued",
        "ringproof/ledger/lua/number/begin.lua",
        "local left_out = left_out_as(number, record.country or '', record.personal)",
        "local left_out = nil",
        "tests/batches/test_country_list.py::test_a_batch_whose_rows_are_all_left_out_is_completed_with_the_outcome_of_feed",
    ),
    Mutation(
        "numbers of a country that is left out do not wait until Plivo is asked about it",
        "ringproof/ledger/lua/agenda/release.lua",
        " and not left_out_as(name, name)",
        "",
        "tests/batches/test_country_list.py::test_rows_of_a_country_that_plivo_refuses_end_at_once_when_the_list_leaves_it_out",
    ),
    Mutation(
        "a satellite's number gets no code unless its network is named",
        "ringproof/ledger/lua/lib/countries.lua",
        "if NETWORKS[network] then",
        "if false then",
        "tests/batches/test_country_list.py::TestNetworksAndPersonalNumbers::test_get_codes_only_if_they_are_named",
    ),
    Mutation(
        "a personal number gets no code unless such numbers are named",
        "ringproof/ledger/lua/lib/countries.lua",
        "return is_personal and not is_on_list('personal') and 'personal' or nil",
        "return nil",
        "tests/batches/test_country_list.py::TestNetworksAndPersonalNumbers::test_get_codes_only_if_they_are_named",
    ),
    Mutation(
        "a resend that an earlier code makes needless is taken off the counts",
        "ringproof/ledger/lua/lib/transition.lua",
        "local is_unsent = UNBEGUN[record.state] and FINAL[state]\n",
        "local is_unsent = UNBEGUN[record.state] and FINAL[state] and state ~= 'verified'\n",
        "tests/ledger/test_caps_on_people.py::TestTheWayBack::test_when_the_code_before_it_verifies_the_number",
    ),
    Mutation(
        "a person whose code could come only too late is refused",
        "ringproof/ledger/lua/number/accept.lua",
        "if late_ms > 0 then",
        "if false then",
        "tests/ledger/test_backlog.py::test_people_are_accepted_for_as_long_as_the_pace_can_serve_them_and_all_of_them_are_served",
    ),
    Mutation(
        "a pace that is slow for seconds refuses nobody",
        "ringproof/ledger/lua/lib/turns.lua",
        "local spacing = rate_of(channel == 'call' and 'call' or 'account', 'spacing')",
        "local spacing = spacing_us(channel == 'call' and 'call' or 'account')",
        "tests/ledger/test_backlog.py::TestWhileNothingIsSent::test_a_pace_that_several_429s_have_slowed_down_for_seconds_refuses_nobody",
    ),
    Mutation(
        "people who wait for the end of a pause need their slots, too",
        "ringproof/ledger/lua/lib/transition.lua",
        "and (keeps_place or reason == 'paused') then",
        "and keeps_place then",
        "tests/ledger/test_backlog.py::TestWhileNothingIsSent::test_people_who_wait_for_the_end_of_a_pause_are_counted",
    ),
    Mutation(
        "an erased number does not keep its place among the people who need a slot",
        "ringproof/ledger/lua/number/erase.lua",
        "  leave_backlog(number, record.channel)\n",
        "",
        "tests/ledger/test_backlog.py::test_those_who_leave_make_room_for_others",
    ),
    Mutation(
        "a person who takes over a row needs a slot of the people's",
        "ringproof/ledger/lua/number/accept.lua",
        "  join_backlog(number, channel, place_of(asked, asked.ends_at))\n",
        "",
        "tests/ledger/test_backlog.py::test_a_person_who_takes_over_a_row_is_counted",
    ),
    Mutation(
        "a person's request reads no slot that a call holds: a web app's user of Redis may not",
        "ringproof/ledger/lua/lib/turns.lua",
        "local next_free = math.max(now_us, pace.account, channel == 'call' and pace.call or 0)",
        "local next_free = next_slot(channel)",
        "tests/ledger/test_rights.py::test_a_web_app_asks_for_a_code_while_calls_hold_slots_of_the_pace",
    ),
    Mutation(
        "the people who need a slot are counted by the time to which Redis' clock has jumped",
        "ringproof/ledger/lua/lib/line.lua",
        "  redis.call('ZADD', backlog_key(channel), 'XX', place, number)\n",
        "",
        "tests/ledger/test_clock_jumps.py::test_the_people_who_need_a_slot_are_counted_after_a_jump_as_before_it",
    ),
    Mutation(
        "an operator's slow rate that ends soon refuses nobody",
        "ringproof/ledger/lua/lib/turns.lua",
        "if end_of_limits() and end_of_limits() < ends_at then return now_us end",
        "",
        "tests/ledger/test_backlog.py::TestWhileNothingIsSent::test_an_operators_slow_rate_refuses_only_if_it_lasts_as_long_as_the_request",
    ),
    Mutation(
        "a request that is being sent is not cancelled",
        "ringproof/ledger/lua/number/cancel_many.lua",
        "if UNBEGUN[record.state] and record.request",
        "if record.request",
        "tests/batches/test_cancelling.py::test_a_request_that_has_begun_or_was_replaced_meanwhile_is_not_cancelled",
    ),
    Mutation(
        "the feeder passes over rows that were cancelled before it came to them",
        "ringproof/ledger/lua/batch/feed.lua",
        "return byte ~= '' and byte ~= '\\0'",
        "return are_retries and byte ~= '\\0'",
        "tests/batches/test_cancelling.py::TestABatch::test_loses_the_rows_of_a_country_that_were_not_fed_too",
    ),
    Mutation(
        "the cancel of a batch counts rows that were cancelled before only once",
        "ringproof/ledger/lua/batch/change_state.lua",
        "    unfed = unfed - ended\n",
        "",
        "tests/batches/test_cancelling.py::TestABatch::test_that_is_cancelled_afterwards_counts_each_row_once",
    ),
    Mutation(
        "a code counts as live for longer than it can be entered",
        "ringproof/ledger/lua/number/settle.lua",
        "'live_until', agenda_at + config.code_margin_ms)",
        "'live_until', agenda_at)",
        "tests/ledger/test_clock_jumps.py::test_another_code_waits_longer_than_a_code_lives_in_case_the_clock_is_ahead",
    ),
    Mutation(
        "the times of a record move back with Redis' clock",
        "ringproof/ledger/lua/lib/record.lua",
        "if follow_clock(key, record) then return read(key) end",
        "",
        "tests/ledger/test_clock_jumps.py::test_an_hour_ahead_for_half_a_minute_leaves_no_number_behind",
    ),
    Mutation(
        "the pace begins again after Redis' clock was set back",
        "ringproof/ledger/lua/lib/pace.lua",
        "set_back_since(saved_at) > 0 or ",
        "",
        "tests/ledger/test_clock_jumps.py::test_in_the_middle_of_bulk_and_people_sending_goes_on_within_a_window",
    ),
    Mutation(
        "a script changes nothing if Redis' time is another than its caller expects",
        "ringproof/ledger/lua/lib/clock.lua",
        "if expected_us ~= '' and math.abs(now_us - expected_us) > LARGEST_STEP_US then",
        "if false then",
        "tests/ledger/test_clock_jumps.py::test_people_with_slots_and_people_in_the_line_get_their_codes_within_the_limit",
    ),
    Mutation(
        "the times of a record move with a clock that jumps ahead",
        "ringproof/ledger/lua/lib/jumps.lua",
        "if at > jump.before then at = at + jump.by end",
        "",
        "tests/ledger/test_clock_jumps.py::test_a_code_lives_as_long_after_a_jump_as_without_it",
    ),
    Mutation(
        "the times of a tombstone move with Redis' clock",
        "ringproof/ledger/lua/lib/tombstone.lua",
        "for field, at in pairs(moved_times(left, left.at)) do left[field] = at end",
        "",
        "tests/ledger/test_clock_jumps.py::test_the_code_of_an_erased_number_lives_as_long_after_a_jump",
    ),
    Mutation(
        "a jump of Redis' clock is no time of the cooldown",
        "ringproof/ledger/lua/lib/record.lua",
        "sent_at = sent_at + jump.by",
        "break",
        "tests/ledger/test_clock_jumps.py::test_a_jump_does_not_shorten_the_cooldown_of_a_verified_number",
    ),
    Mutation(
        "the pace begins again after Redis' clock has jumped ahead",
        "ringproof/ledger/lua/lib/pace.lua",
        " or #jumps_since(saved_at) > 0",
        "",
        "tests/ledger/test_clock_jumps.py::test_people_with_slots_and_people_in_the_line_get_their_codes_within_the_limit",
    ),
    Mutation(
        "the times of a person who is called up have moved with the clock before",
        "ringproof/ledger/lua/agenda/work_off.lua",
        "read(key)  -- moves its times first, if Redis' clock has jumped",
        "",
        "tests/ledger/test_clock_jumps.py::test_people_with_slots_and_people_in_the_line_get_their_codes_within_the_limit",
    ),
    Mutation(
        "an incomplete list of Plivo's ends no verification",
        "worker/cli/verified.py",
        "if records and (scan.total is None or seen < scan.total):",
        "if False:",
        "tests/cli/test_cli_verified.py::TestSync::test_ends_no_verification_if_plivos_list_was_not_whole",
    ),
    Mutation(
        "a worker says at its start how much time Redis does not remember",
        "ringproof/ledger/health.py",
        "silent = now - moment(int(last_tick)) if last_tick else timedelta()",
        "silent = timedelta()",
        "tests/ledger/test_health.py::test_a_worker_says_at_its_start_how_much_time_redis_does_not_remember",
    ),
    Mutation(
        "a jump is noted once",
        "ringproof/ledger/lua/note_jump.lua",
        "if jump.before + jump.by >= now - ago then return 0 end",
        "",
        "tests/ledger/test_clock_jumps.py::test_of_many_processes_one_notes_a_jump",
    ),
    Mutation(
        "a jump is forgotten when the clock is set right",
        "ringproof/ledger/lua/lib/jumps.lua",
        "if set_back_by > jump.by / 2 then",
        "if false then",
        "tests/ledger/test_clock_jumps.py::test_a_jump_is_forgotten_when_the_clock_is_set_right",
    ),
    Mutation(
        "the slots that were booked before a jump of Redis' clock count after it",
        "ringproof/ledger/lua/lib/pace.lua",
        "pace.account_last, pace.call_last = moved_slot(last_account, saved_at), moved_slot(last_call, saved_at)",
        "",
        "tests/ledger/test_clock_jumps.py::test_slots_that_were_booked_before_a_jump_count_after_it",
    ),
    Mutation(
        "what was over before Redis' clock was set back is over after it, too",
        "ringproof/ledger/lua/lib/jumps.lua",
        "if by > 0 then return at > now and at - by or at end",
        "if by > 0 then return at > changed_at and at - by or at end",
        "tests/ledger/test_clock_jumps.py::test_a_code_that_had_died_when_its_number_was_erased_is_not_alive_again_when_the_clock_is_set_back",
    ),
    Mutation(
        "a jump that was set back in part is not forgotten",
        "ringproof/ledger/lua/lib/jumps.lua",
        "if set_back_by > jump.by / 2 then",
        "if set_back_by > 0 then",
        "tests/ledger/test_clock_jumps.py::test_a_jump_that_was_set_back_in_part_counts_for_the_rest",
    ),
    Mutation(
        "a request that is late because Plivo refuses the account is not forbidden",
        "ringproof/ledger/lua/agenda/work_off.lua",
        "record.reason == 'refused' and not pauses.account and",
        "record.reason == 'refused' and",
        "tests/ledger/test_destinations.py::TestTheAccount::"
        "test_at_a_wrong_address_a_persons_request_is_too_late_and_not_forbidden",
    ),
    Mutation(
        "a slow call is no jump",
        "ringproof/ledger/clock_watch.py",
        "if new.least - known.most > SMALLEST_JUMP_SECONDS:",
        "if True:",
        "tests/ledger/test_clock_jumps.py::test_a_call_that_was_under_way_for_long_is_no_jump",
    ),
    Mutation(
        "an old measurement shows no jump",
        "ringproof/ledger/clock_watch.py",
        " and self._known.age < OLDEST_SECONDS",
        "",
        "tests/ledger/test_clock_jumps.py::test_a_process_that_has_not_called_for_an_hour_notes_no_jump",
    ),
    Mutation(
        "a probe is due at once after Redis' clock was set back",
        "ringproof/ledger/lua/lib/pauses.lua",
        "    pauses[field] = tostring(now)\n",
        "",
        "tests/ledger/test_clock_jumps.py::test_a_pause_by_plivos_answers_does_not_last_until_the_old_time",
    ),
    Mutation(
        "a refused destination is tried again after Redis' clock was set back",
        "ringproof/ledger/lua/lib/destinations.lua",
        "if destination.next > now + LONGEST_NEXT_MS then destination.next = now end",
        "",
        "tests/ledger/test_clock_jumps.py::test_a_refused_destination_is_tried_again_and_opens",
    ),
    Mutation(
        "a tick of the wrong hour keeps no later one away",
        "ringproof/ledger/lua/claim_tick.lua",
        "math.abs(now - claimed_at) < every_ms",
        "now - claimed_at < every_ms",
        "tests/ledger/test_clock_jumps.py::test_a_tick_of_the_wrong_hour_does_not_keep_the_next_ones_away",
    ),
    Mutation(
        "the agenda repair brings an entry of the wrong hour nearer",
        "ringproof/ledger/lua/agenda/repair.lua",
        "math.min(tonumber(entry), latest_entry(record))",
        "tonumber(entry)",
        "tests/ledger/test_clock_jumps.py::test_an_entry_of_the_wrong_hour_comes_nearer",
    ),
    Mutation(
        "a doubt of a moment ago is not ended: its worker may still send",
        "ringproof/ledger/lua/number/accept.lua",
        "elseif doubtful and may_still_send(record) then",
        "elseif false then",
        "tests/ledger/test_clock_jumps.py::"
        "test_a_claim_whose_lease_ended_by_a_jump_is_given_back_or_settled_and_not_repeated",
    ),
    Mutation(
        "the turn to read Plivo's list comes after Redis' clock was set back",
        "ringproof/ledger/lua/plivo_list/take_page.lua",
        "if is_possible and next_us > now_us then",
        "if next_us > now_us then",
        "tests/ledger/test_clock_jumps.py::test_the_turn_to_read_plivos_list_comes_within_two_windows",
    ),
    Mutation(
        "a date in the future does not end the next scan early",
        "tasks/plivo_list.py",
        "if date <= began",
        "if True",
        "tests/ledger/test_plivo_list.py::test_a_date_in_the_future_does_not_end_the_next_scan_early",
    ),
    Mutation(
        "begin claims a number once that it is given twice",
        "ringproof/ledger/lua/number/begin.lua",
        "if not is_named[key] then",
        "if true then",
        "tests/ledger/test_ledger.py::test_a_number_that_begin_is_given_twice_is_begun_once",
    ),
    Mutation(
        "a record with calls outlives the week of their cap",
        "ringproof/ledger/lua/lib/expiry.lua",
        "math.max(config.record_ms, calls_count_ms, wrong_codes_count_ms)",
        "math.max(config.record_ms, wrong_codes_count_ms)",
        "tests/ledger/test_caps.py::test_a_record_with_calls_is_kept_for_the_week_of_their_cap",
    ),
    Mutation(
        "a record with wrong codes outlives the month in which they count",
        "ringproof/ledger/lua/lib/expiry.lua",
        "calls_count_ms, wrong_codes_count_ms)",
        "calls_count_ms)",
        "tests/ledger/test_wrong_codes.py::test_a_record_with_wrong_codes_is_kept_for_the_month_in_which_they_count",
    ),
    Mutation(
        "no code of a locked number is checked",
        "ringproof/ledger/lua/number/take_code.lua",
        "  if is_locked(record) then return 'locked' end\n",
        "",
        "tests/ledger/test_wrong_codes.py::test_the_tenth_wrong_code_locks_the_number_over_all_of_its_codes",
    ),
    Mutation(
        "many entries at once get no more tries before the lock",
        "ringproof/ledger/lua/number/take_code.lua",
        "  count_entry(key, record)\n",
        "",
        "tests/ledger/test_wrong_codes.py::test_fifty_entries_at_once_are_no_more_tries",
    ),
    Mutation(
        "a right code resets no wrong ones",
        "ringproof/ledger/lua/lib/wrong_codes.lua",
        "set_or_delete(key, 'wrong', wrong > 1 and wrong - 1)",
        "redis.call('HDEL', key, 'wrong')",
        "tests/ledger/test_wrong_codes.py::test_a_right_code_takes_back_its_own_entry_and_resets_nothing",
    ),
    Mutation(
        "only an order of our own removes a number at Plivo",
        "tasks/removal.py",
        "until_ledger_answers(lambda: ordered_removal(ledger, handle))",
        "handle",
        "tests/tasks/test_removal.py::test_a_foreign_applications_message_removes_nothing",
    ),
    Mutation(
        "Celery's own ways to revoke cancel in the ledger",
        "ringproof/celery/app.py",
        '    control="ringproof.celery.control:Control",\n',
        "",
        "tests/celery/test_revocation.py::test_an_id_of_a_result_cancels_its_request",
    ),
    Mutation(
        "a worker's answer to a revoke is about the ledger",
        "worker/celery/__init__.py",
        '"worker.celery.revocation:Revocation", ',
        "",
        "tests/celery/test_revocation.py::TestAWorker::test_cancels_by_the_id_of_a_result",
    ),
    Mutation(
        "a revoked message takes its request with it",
        "ringproof/celery/masked_request.py",
        "refused_by_ledger(requests_of(self.type, self.args, self.kwargs))",
        "pass",
        "tests/celery/test_revocation.py::TestAWorker::test_drops_a_revoked_message_and_cancels_its_requests",
    ),
    Mutation(
        "an erasure resets no cap",
        "ringproof/ledger/lua/lib/tombstone.lua",
        "math.max(milliseconds(record, 'live_until'), end_of_counts(record)) - now",
        "milliseconds(record, 'live_until') - now",
        "tests/ledger/test_wrong_codes.py::TestAfterAnErasure::test_codes_count_for_their_day",
    ),
    Mutation(
        "a sync resets no cap of an erased number",
        "ringproof/ledger/lua/number/mark_verified.lua",
        "  if not record.state then write_counts(key, record) end\n",
        "",
        "tests/ledger/test_wrong_codes.py::TestAfterAnErasure::test_a_sync_that_records_the_number_again_resets_nothing",
    ),
    Mutation(
        "a doubt does not end while a code may live",
        "ringproof/ledger/lua/agenda/work_off.lua",
        "if live_until > now then return keep(number, live_until) end",
        "",
        "tests/ledger/test_agenda.py::test_an_entry_that_is_too_early_gets_its_right_time",
    ),
    Mutation(
        "a late look-up sends nothing for a doubt that has ended meanwhile",
        "ringproof/ledger/lua/number/accept.lua",
        "if doubtful and (record.request ~= doubtful or record.state ~= 'in_doubt'\n    or",
        "if doubtful and (",
        "tests/tasks/test_sweep.py::test_nor_for_the_request_that_has_followed_it",
    ),
    Mutation(
        "the automatic resend is not for a cancelled batch",
        "ringproof/ledger/lua/number/accept.lua",
        " or batch_state_for(record) == 'cancelled') then",
        ") then",
        "tests/batches/test_batches.py::TestADoubt::test_of_a_cancelled_batch_is_not_resent",
    ),
    Mutation(
        "a doubt that no look-up ends fails within a day",
        "ringproof/ledger/lua/agenda/work_off.lua",
        "if now - from >= config.look_up_longest_ms then",
        "if false then",
        "tests/ledger/test_agenda.py::test_a_doubt_that_no_look_up_ends_is_looked_up_at_growing_intervals_and_fails_within_a_day",
    ),
    Mutation(
        "the sweep enqueues no look-up while the queue is long",
        "ringproof/ledger/lua/agenda/work_off.lua",
        "return queue_has_room(record.lane) and 'look_up' or 'held'",
        "return 'look_up'",
        "tests/ledger/test_agenda.py::test_a_look_up_is_not_enqueued_while_the_queue_is_long",
    ),
    Mutation(
        "the final check before the first byte",
        "worker/sending/final_check.py",
        "if now > self._until:",
        "if False:",
        "tests/faults/test_points.py::test_a_process_that_was_stopped_until_a_newer_request_was_sent_sends_nothing",
    ),
    Mutation(
        "the token: the same call again gets the same answer",
        "ringproof/ledger/lua/number/accept.lua",
        "if answered then return cjson.decode(answered) end",
        "",
        "tests/ledger/test_ledger.py::test_the_same_token_gets_the_same_answer",
    ),
    Mutation(
        "times are Redis', not the worker's",
        "ringproof/ledger/ledger.py",
        "ms(one.outcome.wait),",
        'ms(one.outcome.wait) + int(__import__("time").time() - self.client.time()[0]) * 1000,',
        "tests/faults/test_storm.py::test_a_worker_whose_clock_is_an_hour_off_does_as_the_others",
    ),
    Mutation(
        "the agenda repair puts lost entries back",
        "tasks/sweep.py",
        "repaired = repair_agenda(ledger, PORTION, every=REPAIR_EVERY)",
        "repaired = 0",
        "tests/faults/test_storm.py::test_without_agenda_and_messages_each_number_gets_a_code",
    ),
    Mutation(
        "the sweep sends a lost message again",
        "ringproof/ledger/lua/agenda/work_off.lua",
        "return queue_has_room(record.lane) and 'enqueue' or 'held'",
        "return 'held'",
        "tests/faults/test_storm.py::test_without_a_single_message_each_number_gets_a_code",
    ),
    Mutation(
        "a worker repeats settle until Redis answers",
        "worker/sending/results.py",
        "        self._failed.extend(left)\n",
        "",
        "tests/sending/test_process.py::test_a_result_is_written_once_redis_answers_again",
    ),
    Mutation(
        "a result that comes while others are written is written after them",
        "worker/sending/results.py",
        "        while self._waiting and self._writes.acquire(blocking=False):\n",
        "        if self._writes.acquire(blocking=False):\n",
        "tests/sending/test_process.py::test_results_that_come_together_are_written_in_one_call",
    ),
    Mutation(
        "a record that Redis refuses does not keep back the results of others",
        "worker/sending/results.py",
        "if error.is_refusal and len(some) > 1:",
        "if False:",
        "tests/sending/test_process.py::test_a_damaged_record_does_not_keep_back_the_results_of_others",
    ),
    Mutation(
        "one thread repeats what Redis does not take, and the other senders go on",
        "worker/sending/results.py",
        "while self._failed and self._repeats.acquire(blocking=False):",
        "while self._failed and self._repeats.acquire():",
        "tests/sending/test_process.py::test_a_damaged_record_keeps_one_sender_and_leaves_the_others_free",
    ),
    Mutation(
        "batches leave senders to people",
        "worker/sending/senders.py",
        "kept = 0 if lane is Lane.INTERACTIVE else FOR_PEOPLE",
        "kept = 0",
        "tests/sending/test_process.py::test_slow_answers_to_a_batch_leave_senders_to_people",
    ),
    Mutation(
        "the numbers in hand get new messages at a stop",
        "worker/sending/bulk.py",
        "        for first in range(0, len(left), MOST_IN_MESSAGE):\n",
        "        for first in ():\n",
        "tests/sending/test_process.py::test_at_a_stop_what_waits_is_queued_again_and_what_is_under_way_settles",
    ),
    Mutation(
        "a damaged record does not keep the numbers in hand from being begun",
        "worker/sending/bulk.py",
        "return begin_portion(self._ledger, self._senders, portion, quiet_until, raises_refusals=True)",
        "return begin_portion(self._ledger, self._senders, portion, quiet_until)",
        "tests/sending/test_process.py::test_a_damaged_record_does_not_keep_the_numbers_in_hand_from_being_begun",
    ),
    Mutation(
        "at a stop nothing is begun that waited for a free sender",
        "worker/sending/bulk.py",
        "if shutdown.is_stopping():  # while no sender was free",
        "if False:  # while no sender was free",
        "tests/sending/test_process.py::test_at_a_stop_nothing_is_begun_that_waited_for_a_free_sender",
    ),
    Mutation(
        "a send that has waited asks whether its claim is still good",
        "worker/sending/attempt.py",
        "if check.wait_to_connect() or has_waited:",
        "if check.wait_to_connect():",
        "tests/sending/test_process.py::test_a_person_whose_far_slot_is_revoked_gets_a_new_message",
    ),
    Mutation(
        "the client repeats nothing after the first byte",
        "ringproof/plivo/transport.py",
        'raise Unknown(shorten(f"no answer: {describe(cause)}"))',
        'raise Unreachable(shorten(f"no answer: {describe(cause)}"))',
        "tests/faults/test_plivo_fails.py::test_each_misfortune_of_plivo_alone_ends_as_expected",
    ),
    Mutation(
        "a user's rights are tried before the first script, which Redis would end in the middle",
        "ringproof/ledger/ledger.py",
        "self.check_rights()\n            self._are_rights_checked = True",
        "pass",
        "tests/ledger/test_rights.py::test_a_request_is_refused_before_its_script_has_written_anything",
    ),
    Mutation(
        "a worker tries its rights in Redis at its start",
        "worker/celery/readiness.py",
        "ledger.check_rights()",
        "pass",
        "tests/ledger/test_rights.py::test_a_worker_without_the_rights_to_celerys_keys_ends_with_one_line",
    ),
    Mutation(
        "rights are tried within a transaction, which is discarded",
        "ringproof/ledger/rights.py",
        'connection.send_command("MULTI")',
        'connection.send_command("PING")',
        "tests/ledger/test_rights.py::test_a_user_with_the_rights_of_a_role_lacks_none_and_trying_them_changes_nothing",
    ),
    Mutation(
        "a producer's rights have no command that lists numbers",
        "ringproof/ledger/rights.py",
        " - LISTING",
        "",
        "tests/ledger/test_rights.py::test_a_producer_cannot",
    ),
    Mutation(
        "the columns of rosters lie apart from the keys of a batch that producers read",
        "ringproof/ledger/keys.py",
        'columns = f"{self.prefix}:columns:{name}"',
        'columns = f"{batch}:columns"',
        "tests/ledger/test_rights.py::test_each_key_of_a_batch_is_decided_about",
    ),
    Mutation(
        "a cancel writes no pace, which a producer only reads",
        "ringproof/ledger/lua/lib/pace.lua",
        "local function save_pace()\n",
        "local function save_pace()\n  read_pace()\n",
        "tests/ledger/test_rights.py::test_a_cancel_needs_no_right_to_write_the_pace",
    ),
    Mutation(
        "a caller gets no slot that has passed when the answer comes",
        "ringproof/ledger/lua/lib/pace.lua",
        "slot = math.max(now_us + reach_us, slot)",
        "slot = math.max(now_us, slot)",
        "tests/ledger/test_slots.py::TestFarFromRedis::test_no_caller_gets_a_slot_that_has_passed_when_the_answer_comes",
    ),
    Mutation(
        "near callers reserve as far ahead as the farthest one needs",
        "ringproof/ledger/lua/lib/turns.lua",
        "return 3 * farthest_reach()",
        "return 3 * reach_us",
        "tests/ledger/test_slots.py::TestFarFromRedis::test_the_horizon_is_as_before_soon_after_the_last_far_caller",
    ),
    Mutation(
        "an emptied Redis gets its policy back",
        "tasks/sweep.py",
        "if restore_policy(ledger, runtime.settings().policy):",
        "if False:",
        "tests/ledger/test_health.py::test_a_worker_logs_at_its_start_what_can_be_lost_and_what_it_changes",
    ),
    Mutation(
        "a real token is not sent to a program of this machine",
        "ringproof/settings/__init__.py",
        'if plivo_url.exposes(given.get("PLIVO_BASE_URL", ""), given.get("PLIVO_AUTH_TOKEN", "")):',
        "if False:",
        "tests/test_settings.py::TestTheWayToPlivo::test_does_not_tell_a_real_token_to_any_program_of_this_machine",
    ),
    Mutation(
        "a proxy that refuses the login is asked once, so that the account is not locked",
        "ringproof/plivo/transport.py",
        "and refusal.is_final",
        "and False",
        "tests/plivo/test_proxy.py::test_a_login_that_is_missing_or_wrong_is_named_and_is_not_repeated",
    ),
    Mutation(
        "this machine is never reached through a proxy",
        "ringproof/plivo/client.py",
        "None if is_local else proxy",
        "proxy",
        "tests/plivo/test_proxy.py::test_this_machine_is_never_reached_through_a_proxy",
    ),
    Mutation(
        "a request whose process was killed is not sent when the network is back",
        "ringproof/plivo/transport.py",
        "_drop_unsent_on_close(self.sock, on=True)",
        "pass",
        "tests/plivo/test_given_up.py::test_nor_does_the_request_of_a_killed_process",
    ),
    Mutation(
        "nor is the request of a frozen process",
        "ringproof/plivo/transport.py",
        "sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, unacknowledged_ms)",
        "pass",
        "tests/plivo/test_given_up.py::test_nor_does_the_request_of_a_frozen_process_after_the_limit_of_an_answer",
    ),
    Mutation(
        "after Redis was emptied the first window counts as spent",
        "ringproof/ledger/lua/lib/pace.lua",
        "last = math.max(last, now_us - config.jitter_us)",
        "",
        "tests/ledger/test_ledger.py::test_the_first_window_of_an_empty_redis_has_no_slot",
    ),
    Mutation(
        "a worker does not use a slot that it has missed",
        "worker/sending/final_check.py",
        "if now <= self.slot + LATE_SECONDS:",
        "if True:",
        "tests/sending/test_attempt.py::test_a_missed_slot_is_replaced",
    ),
    Mutation(
        "a worker asks whether its claim is still good, before it sends",
        "worker/sending/attempt.py",
        "if again.verdict is not Verdict.BEGUN:",
        "if False:",
        "tests/sending/test_attempt.py::test_a_number_whose_slot_was_revoked_is_queued_again_and_nothing_is_sent",
    ),
    Mutation(
        "a worker that has missed its slot gets no other one in a pause",
        "ringproof/ledger/lua/pace/reserve_slot.lua",
        "if not record.state or is_on_hold(record) then",
        "if not record.state then",
        "tests/sending/test_attempt.py::test_a_missed_slot_is_not_replaced_in_a_pause",
    ),
    Mutation(
        "a worker asks until it knows what a frozen Redis has claimed for it",
        "worker/sending/begin.py",
        "answers = until_ledger_answers(begin, ends_with_worker=True, raises_refusals=raises_refusals)",
        "answers = until_ledger_answers(begin, seconds=10.0)",
        "tests/sending/test_begin.py::test_begin_is_repeated_until_a_frozen_redis_shows_its_claims",
    ),
    Mutation(
        "quiet hours that begin apply to the numbers in hand",
        "worker/sending/quiet.py",
        "if boot_clock() - self._read_at >= READ_SECONDS:",
        'if self._read_at == float("-inf"):',
        "tests/sending/test_process.py::test_quiet_hours_that_begin_apply_to_the_numbers_in_hand",
    ),
    Mutation(
        "a send that the pool has queued, although it could start no thread for it, is made once",
        "worker/sending/senders.py",
        "if self._is_made.acquire(blocking=False):",
        "if self._is_made.acquire(blocking=False) or True:",
        "tests/sending/test_process.py::test_a_number_is_sent_to_once_although_no_thread_can_be_started_for_it",
    ),
    Mutation(
        "a look-up takes a slot",
        "worker/sending/queries.py",
        "reserve_slot(ledger, within=within), ask, ends=ends)",
        "boot_clock(), ask, ends=ends)",
        "tests/faults/test_pace_fails.py::test_each_request_takes_a_slot_even_a_look_up",
    ),
    Mutation(
        "another rate begins a window after the last slot of the old one",
        "ringproof/ledger/lua/lib/pace.lua",
        "set_pace(bucket .. '_from', last + window + config.jitter_us)",
        "set_pace(bucket .. '_from', now_us + window)",
        "tests/ledger/test_slots.py::TestOtherRates::test_no_window_has_too_many_slots_however_often_the_rates_change",
    ),
    Mutation(
        "a slot of another rate is revoked",
        "ringproof/ledger/lua/lib/pace.lua",
        "math.max(pace.closed or 0, pace.account_from,",
        "math.max(pace.closed or 0,",
        "tests/ledger/test_slots.py::TestOtherRates::test_other_rates_revoke_slots_of_the_old_pace",
    ),
    Mutation(
        "a call leaves the slots before its own to texts",
        "ringproof/ledger/lua/lib/pace.lua",
        "  if slot == account then\n",
        "  if true then\n",
        "tests/ledger/test_slots.py::TestCalls::test_a_call_holds_its_slot_and_leaves_those_before_it_to_texts",
    ),
    Mutation(
        "a text keeps away from the slot that a call holds",
        "ringproof/ledger/lua/lib/pace.lua",
        "    slot = tonumber(held) + spacing\n",
        "    break\n",
        "tests/ledger/test_slots.py::TestCalls::test_a_call_holds_its_slot_and_leaves_those_before_it_to_texts",
    ),
    Mutation(
        "429s with a long Retry-After slow the pace down, too",
        "ringproof/ledger/lua/lib/pace.lua",
        "local recent = (pace.closed or 0) + RECOVERY_US > now_us",
        "local recent = (pace.closed or 0) > now_us",
        "tests/ledger/test_slots.py::TestA429::test_three_429s_halve_the_pace_for_ten_seconds_at_most",
    ),
    Mutation(
        "people come before bulk when the slots are those for calls",
        "ringproof/ledger/lua/lib/turns.lua",
        "now_us + beyond - LEAST_CALL_AHEAD_US - distance_us(), wanted)",
        "wanted)",
        "tests/ledger/test_slots.py::TestCalls::test_people_come_before_bulk",
    ),
    Mutation(
        "bulk has its share of the calls",
        "ringproof/ledger/lua/lib/turns.lua",
        "floor = math.max(by_account, call_floor)",
        "floor = math.huge",
        "tests/ledger/test_slots.py::TestCalls::test_bulk_has_its_tenth_beside_any_number_of_people",
    ),
    Mutation(
        "those who leave the line leave no gap",
        "ringproof/ledger/lua/lib/transition.lua",
        "and not keeps_place then leave_line(number, record.channel) end",
        "and not keeps_place then end",
        "tests/ledger/test_slots.py::TestTheLine::test_those_who_leave_the_line_leave_no_gap",
    ),
    Mutation(
        "the dead keep no place in the line",
        "ringproof/ledger/lua/lib/line.lua",
        "'-inf', '(' .. now)",
        "'-inf', '(0')",
        "tests/ledger/test_slots.py::TestTheLine"
        "::test_those_whose_worker_died_after_their_call_lose_their_place_to_the_others",
    ),
    Mutation(
        "the line follows the pace when that becomes quicker",
        "ringproof/ledger/lua/agenda/work_off.lua",
        "for _, channel in ipairs({'sms', 'call'}) do call_up_people(channel) end\n",
        "",
        "tests/ledger/test_slots.py::TestTheLine::test_all_people_are_sent_to_soon_after_a_slow_rate_was_ended",
    ),
    Mutation(
        "a question waits for its slot, and reserves another if it missed it",
        "worker/sending/queries.py",
        "return ask(before_first_byte=check)",
        "return ask(before_first_byte=None)",
        "tests/sending/test_queries.py::test_a_missed_slot_is_replaced_whatever_is_asked",
    ),
    Mutation(
        "a question connects before its slot",
        "worker/sending/queries.py",
        "        check.wait_to_connect()\n",
        "        check()\n",
        "tests/sending/test_queries.py::test_a_question_connects_before_its_slot",
    ),
    Mutation(
        "who waits for a slot asks nothing at a stop",
        "worker/sending/final_check.py",
        "        if not shutdown.sleep_unless_stopping(until - boot_clock()):\n",
        "        if shutdown.sleep_unless_stopping(until - boot_clock()) is None:\n",
        "tests/sending/test_queries.py::test_a_worker_that_stops_asks_nothing_before_its_slot",
    ),
    Mutation(
        "a probe that goes back makes room for another",
        "ringproof/ledger/lua/number/begin.lua",
        "  end_probe(fence)\n",
        "",
        "tests/ledger/test_pauses.py::TestARefusalOfTheAccount::test_another_number_is_sent_first_after_a_probe_that_goes_back",
    ),
    Mutation(
        "an answer to an earlier request does not end the pause for unknown credentials",
        "ringproof/ledger/lua/lib/plivo_signal.lua",
        "slot >= refused_slot",
        "true",
        "tests/ledger/test_pauses.py::TestUnknownCredentials"
        "::test_an_answer_to_a_request_that_began_earlier_does_not_end_the_pause",
    ),
    Mutation(
        "a 429 closes the pace for all workers",
        "ringproof/ledger/lua/lib/pace.lua",
        "    set_pace('account', math.max(pace.account, pace.closed))\n",
        "",
        "tests/ledger/test_slots.py::TestA429::test_a_429_closes_the_bucket_for_all_until_plivos_time_at_least",
    ),
    Mutation(
        "an entered code is counted before Plivo is asked",
        "ringproof/ledger/lua/number/take_code.lua",
        "'tries', tries + 1",
        "'tries', tries",
        "tests/ledger/test_confirmation.py::test_plivo_is_not_asked_after_five_wrong_codes",
    ),
    Mutation(
        "an entered code is handed out once",
        "ringproof/ledger/lua/number/take_code.lua",
        "redis.call('GETDEL', code_key)",
        "redis.call('GET', code_key)",
        "tests/ledger/test_confirmation.py::test_a_code_waits_a_minute_and_is_taken_once",
    ),
    Mutation(
        "a number at Plivo by another code proves nothing for this one",
        "tasks/confirmation.py",
        "if marked is Marked.ALREADY:",
        "if False:",
        "tests/ledger/test_confirmation.py::test_a_number_that_another_code_verified_does_not_confirm_this_code",
    ),
    Mutation(
        "an old entry of Plivo's list is no answer for a new code",
        "ringproof/ledger/lua/number/mark_verified.lua",
        "if not is_known and is_of_last_code(record, caller_id) then",
        "if not is_known then",
        "tests/ledger/test_plivo_list.py::test_an_entry_of_last_year_does_not_verify_todays_doubt",
    ),
    Mutation(
        "a dead code does not expire before Plivo's list was read",
        "ringproof/ledger/lua/agenda/work_off.lua",
        "    if await_scan(number, expires_at) then return 'list' end\n",
        "",
        "tests/ledger/test_plivo_list.py::test_a_number_on_the_list_is_verified_and_another_one_expires",
    ),
    Mutation(
        "an erased number gets no second live code",
        "ringproof/ledger/lua/lib/tombstone.lua",
        "if not left then return record, flat end",
        "do return record, flat end",
        "tests/batches/test_erasure.py::test_a_number_with_a_live_code_gets_no_second_one_and_its_tombstone_expires",
    ),
    Mutation(
        "one worker alone asks about a number that is due",
        "ringproof/ledger/lua/reverification/claim.lua",
        "if claimed_for > 0 and claimed_for <= config.look_up_ms then return {} end\n",
        "",
        "tests/tasks/test_reverification.py::TestChecking::test_gives_a_number_to_one_worker_for_a_minute",
    ),
    Mutation(
        "a late message does not ask about a number again",
        "ringproof/ledger/lua/reverification/claim.lua",
        "if not is_due then return {} end\n",
        "",
        "tests/tasks/test_reverification.py::TestChecking::test_asks_once_about_each_number_however_many_messages_there_are",
    ),
    Mutation(
        "a number that does not answer twice is left alone",
        "ringproof/ledger/lua/lib/reverification.lua",
        "      schedule_reverification(number, nil)\n      return 'lapsed'\n",
        "",
        "tests/tasks/test_reverification.py::TestSending::test_makes_a_number_lapse_that_does_not_answer_twice_in_a_row",
    ),
    Mutation(
        "a failed request does not end a verification",
        "ringproof/ledger/lua/lib/transition.lua",
        "state == 'verified' or is_verified(record) and reason ~= 'lapsed'\n",
        "state == 'verified'\n",
        "tests/tasks/test_reverification.py::TestInBetween"
        "::test_a_standing_number_whose_last_request_failed_has_its_day_once_the_schedule_is_on",
    ),
    Mutation(
        "a retry feeds no row that has an outcome by now",
        "ringproof/ledger/lua/batch/feed.lua",
        "if has_outcome(row) then",
        "if false then",
        "tests/batches/test_batches.py"
        "::TestARetry::test_does_not_feed_a_row_that_has_got_an_outcome_since_an_earlier_retry",
    ),
    Mutation(
        "a try counts only if Plivo was asked",
        "tasks/confirmation.py",
        "        until_ledger_answers(lambda: give_try_back(ledger, number, handle, uuid, taken.unanswered_handle))\n",
        "",
        "tests/ledger/test_confirmation.py::test_a_try_is_given_back_on_every_way_out_before_plivo_was_asked",
    ),
    Mutation(
        "a code is entered only for the request that it was sent for",
        "ringproof/ledger/lua/number/take_code.lua",
        "  if is_anothers and record.request then return 'another' end\n",
        "",
        "tests/ledger/test_confirmation.py::TestTheRequestOfACode::test_a_code_is_entered_for_its_own_request_only",
    ),
    Mutation(
        "a newer request without a code does not take over the code of an earlier one",
        "ringproof/ledger/lua/lib/request.lua",
        "  record.code_request = record.code_request or record.verification_uuid and record.request\n",
        "",
        "tests/ledger/test_confirmation.py::TestTheRequestOfACode"
        "::test_a_code_stays_with_its_request_when_later_ones_send_none",
    ),
    Mutation(
        "a result that was not accepted shows nothing of another's request",
        "ringproof/celery/backend.py",
        "(dict.fromkeys(OF_A_REQUEST) if is_anothers else {})",
        "{}",
        "tests/celery/test_results.py::test_a_result_that_was_not_accepted_shows_nothing_of_anothers_request",
    ),
    Mutation(
        "the result of a request is verified by its own code only",
        "ringproof/celery/backend.py",
        "record = replace(record, state=record.state_of_request)",
        "pass",
        "tests/celery/test_results.py::test_the_result_of_a_resend_is_not_verified_by_what_was_verified_before",
    ),
    Mutation(
        "a person who takes over a row keeps its subaccount",
        "ringproof/ledger/lua/number/accept.lua",
        "record.subaccount or fields[i + 1]",
        "fields[i + 1]",
        "tests/ledger/test_ledger.py"
        "::test_a_promoted_request_keeps_the_rows_subaccount_and_its_alias_unless_one_is_given",
    ),
    Mutation(
        "a resend that nobody answers does not end a verification",
        "ringproof/ledger/lua/agenda/work_off.lua",
        "local stands = is_verified(record) and not record.reverifies",
        "local stands = false",
        "tests/ledger/test_confirmation.py::TestAVerificationStands::test_an_unanswered_resend_falls_back_to_verified",
    ),
    Mutation(
        "the uuid of an earlier verification is no proof of a newer code, whatever its dates",
        "ringproof/ledger/lua/number/mark_verified.lua",
        "  if caller_id.uuid == uuid_before then return false end\n",
        "",
        "tests/ledger/test_confirmation.py::TestTheList::test_an_edited_alias_is_no_proof_of_a_newer_code",
    ),
    Mutation(
        "an edited alias is no proof for a number whose earlier verification is unknown",
        "ringproof/ledger/lua/number/mark_verified.lua",
        "(uuid_before and caller_id.dated or caller_id.created)",
        "caller_id.dated",
        "tests/ledger/test_confirmation.py::TestTheList::test_an_edited_alias_is_no_proof_of_a_newer_code",
    ),
    Mutation(
        "a sync does not forget the live code of an erased number",
        "ringproof/ledger/lua/number/mark_verified.lua",
        "record_from_plivo(key, read_or_revive(key, caller_id.number), caller_id)",
        "record_from_plivo(key, record, caller_id)",
        "tests/ledger/test_plivo_list.py::TestSync::test_a_number_that_was_erased_while_its_code_is_live_gets_no_second_code",
    ),
    Mutation(
        "a look-up that finds nothing does not end a verification that came meanwhile",
        "ringproof/ledger/lua/reverification/note_removed.lua",
        "or record.verified_at ~= verified_at ",
        "",
        "tests/tasks/test_reverification.py::TestInBetween::test_a_verification_during_the_look_up_is_not_ended_by_it",
    ),
    Mutation(
        "no number counts as removed where Plivo has no list either",
        "tasks/reverification.py",
        "        _check_that_plivo_has_the_list(ledger, client)\n",
        "",
        "tests/tasks/test_reverification.py::TestInBetween::test_no_number_is_removed_where_plivo_has_no_list_either",
    ),
    Mutation(
        "the uuid of an older, used code does not end a doubt",
        "tasks/sweep.py",
        "return not record.is_code_used",
        "return True",
        "tests/tasks/test_reverification.py::TestInBetween::test_a_number_in_doubt_is_not_verified_by_a_code_of_long_ago",
    ),
    Mutation(
        "an erased number gets no request that follows an earlier one",
        "ringproof/ledger/lua/number/accept.lua",
        "if follows and redis.call('EXISTS', key) == 0 then return {'gone', 0, 0, 0, ''} end\n",
        "",
        "tests/tasks/test_reverification.py::TestInBetween"
        "::test_a_number_that_is_erased_before_its_code_is_requested_is_not_brought_back",
    ),
    Mutation(
        "a thread that waits for its slot gives it back at a stop",
        "worker/celery/shutdown.py",
        "        if is_stopping():\n            return False\n",
        "",
        "tests/celery/test_shutdown.py::test_a_number_that_waits_for_its_slot_is_queued_again",
    ),
    Mutation(
        "a page of a batch is fed from the cursor, and once",
        "ringproof/ledger/lua/batch/feed.lua",
        "elseif (redis.call('HGET', batch_hash, cursor_field) or '0') ~= page[1].place then",
        "elseif false then",
        "tests/batches/test_batches.py::TestTheFeeder::test_does_not_go_back_if_a_call_comes_late",
    ),
    Mutation(
        "a row's counts change with its record, in the same script",
        "ringproof/ledger/lua/lib/transition.lua",
        "if record.batch then update_row_of(record, state, reason) end",
        "",
        "tests/batches/test_batches.py::TestABatch::test_is_completed_when_each_row_has_an_outcome_and_one_event_reports_it",
    ),
    Mutation(
        "the row of a replaced record gets an outcome",
        "ringproof/ledger/lua/lib/request.lua",
        "    release_row(record)",
        "",
        "tests/batches/test_batches.py::TestAPerson::test_makes_a_row_in_doubt_joined_by_a_new_request",
    ),
    Mutation(
        "a worker looks at a batch's pause and cancel before it sends",
        "ringproof/ledger/lua/lib/pauses.lua",
        " or state == 'paused' or state == 'cancelled'",
        "",
        "tests/batches/test_batches.py::TestAPause::test_takes_back_a_number_whose_slot_is_not_used_yet",
    ),
    Mutation(
        "a request that another batch has joined goes on for that batch",
        "ringproof/ledger/lua/lib/batch_state.lua",
        "then state = other end",
        "then end",
        "tests/batches/test_batches.py::TestABatch::test_has_joined_requests_sent_even_if_the_other_batch_is_paused_or_cancelled_later",
    ),
    Mutation(
        "an import that was taken over adds no row",
        "ringproof/ledger/lua/batch/add_rows.lua",
        "if holder and holder ~= token or redis",
        "if redis",
        "tests/batches/test_batches.py::TestAnImport::test_that_was_taken_over_adds_no_row",
    ),
    Mutation(
        "a 403 closes its own country, and not the account",
        "ringproof/ledger/lua/lib/plivo_signal.lua",
        "if is_ambiguous and not was_closed then",
        "if true then",
        "tests/ledger/test_destinations.py::TestARefusedCountry::test_two_of_them_pause_nothing",
    ),
    Mutation(
        "a number of a closed country is not sent to before it is time for a try",
        "ringproof/ledger/lua/lib/pauses.lua",
        "if is_closed(name) and not may_be_tried(name) then return 'refused' end",
        "",
        "tests/ledger/test_destinations.py::TestARefusedCountry::test_is_tried_by_one_number_now_and_then",
    ),
    Mutation(
        "where codes were taken lately, a refused number waits to see if it was the account",
        "ringproof/ledger/lua/lib/plivo_signal.lua",
        "  if record.refused or not is_ambiguous then return nil end",
        "  if true then return nil end",
        "tests/ledger/test_destinations.py::TestTheAccount::test_goes_on_within_thirty_seconds_of_plivo",
    ),
    Mutation(
        "a number that Plivo refused itself is no probe of the account while there is another one",
        "ringproof/ledger/lua/lib/pauses.lua",
        "if record.refused and pauses.account and not is_last_resort() then return 'refused' end",
        "if record.refused and pauses.account then return 'first' end",
        "tests/ledger/test_destinations.py::TestTheAccount::test_is_not_probed_by_a_number_that_was_refused",
    ),
    Mutation(
        "the probe of the account is a number of the country where Plivo took a code last",
        "ringproof/ledger/lua/lib/pauses.lua",
        "if pauses.account_destination == name or any_at <= now then return 'first' end",
        "if true then return 'first' end",
        "tests/ledger/test_destinations.py::TestTheAccount::"
        "test_is_probed_by_a_number_that_was_not_refused_of_a_country_that_took_one_last",
    ),
    Mutation(
        "single numbers that are refused all the time neither close their country nor pause the account",
        "ringproof/ledger/lua/lib/destinations.lua",
        "if destination.since == 0 then changed.strays = math.min(destination.strays + STRAY, MOST_STRAYS) end",
        "",
        "tests/ledger/test_destinations.py::TestARefusedNumberOfACountryThatTakesCodes::test_many_of_them_hold_nothing_up",
    ),
    Mutation(
        "a third number that was under way and is refused counts as the first probe of the account",
        "ringproof/ledger/lua/lib/plivo_signal.lua",
        "and was_taken_lately(name) then after_failed_probe(slot) end",
        "and false then after_failed_probe(slot) end",
        "tests/ledger/test_destinations.py::TestTheAccount::"
        "test_needs_no_probe_when_a_third_number_under_way_is_refused_too",
    ),
    Mutation(
        "a number that waits for its country leaves the list, however its request ends",
        "ringproof/ledger/lua/lib/transition.lua",
        "  end_wait(record, number)\n",
        "",
        "tests/ledger/test_destinations.py::TestARefusedCountry::"
        "test_waits_in_a_bounded_set_that_a_number_leaves_however_it_ends",
    ),
    Mutation(
        "rows of a closed country are fed without a message",
        "ringproof/ledger/lua/batch/feed.lua",
        "asked.is_refused = is_closed(destination) and not may_be_tried(destination)",
        "asked.is_refused = false",
        "tests/batches/test_refused_countries.py::test_rows_that_wait_for_a_country_take_no_room_and_no_message",
    ),
    Mutation(
        "five numbers in a row that are not found pause all sending",
        "ringproof/ledger/lua/lib/plivo_signal.lua",
        "if pause_time('not_found') < NOT_FOUND_IN_A_ROW then return nil end",
        "if true then return nil end",
        "tests/ledger/test_destinations.py::TestTheAccount::"
        "test_five_numbers_in_a_row_that_are_not_found_show_a_wrong_address",
    ),
    Mutation(
        "a short line behind two broken quotes is no row",
        "ringproof/rosters/csv_rows.py",
        "if len(source.used) > 1 and _may_hold_a_row(source.used, delimiter, width):",
        "if False:",
        "tests/rosters/test_known_rows.py::"
        "test_a_number_in_a_note_with_bad_quotes_is_a_reject_and_the_next_rows_are_read",
    ),
    Mutation(
        "digits that may begin with a calling code are not read quickly as a national number",
        "ringproof/phone/number_plan.py",
        "if self._abroad(digits):",
        "if False:",
        "tests/phone/test_number_plan.py::"
        "test_a_number_that_is_written_at_home_reads_as_in_phonenumbers_in_every_region",
    ),
    Mutation(
        "all cells of an erased number's own row are erased",
        "ringproof/batches/column_erasure.py",
        "if (own and place in own) or number in found:",
        "if number in found:",
        "tests/batches/test_kept_columns.py::TestAnErasedNumber::test_leaves_no_cell_of_its_row",
    ),
    Mutation(
        "rejected rows are stored once, although an import was cut short",
        "ringproof/batches/importing.py",
        "if self._skipped_rejects < self._already_rejected:",
        "if False:",
        "tests/batches/test_kept_columns.py::TestColumns::"
        "test_and_rejected_rows_are_in_once_after_an_import_was_cut_short",
    ),
    Mutation(
        "a roster of many rows in a pipe is not sent without --yes",
        "worker/cli/roster.py",
        "tally.channels.total() > MOST_UNASKED",
        "False",
        "tests/cli/test_cli_roster.py::TestAnImport::test_of_many_rows_from_a_pipe_needs_a_yes_or_sends_nothing_yet",
    ),
    Mutation(
        "an error about Redis does not carry the one whose frames hold the code",
        "ringproof/ledger/ledger.py",
        "            unavailable = self.unavailable(error)\n",
        "            raise self.unavailable(error) from error\n",
        "tests/celery/test_crash_reports.py::test_no_code_is_in_a_crash_report_when_redis_is_away",
    ),
    Mutation(
        "a code is a secret from the first line of `delay` on",
        "ringproof/celery/confirmation.py",
        "veil(value) if place == code else value",
        "value",
        "tests/celery/test_crash_reports.py::test_no_code_is_in_a_crash_report_when_redis_is_away",
    ),
    Mutation(
        "Celery's own results print masked",
        "ringproof/celery/app.py",
        "    mask_results()\n",
        "",
        "tests/celery/test_crash_reports.py::test_celerys_own_results_print_masked",
    ),
    Mutation(
        "a file that another user could write is not read for settings",
        "worker/cli/env_file.py",
        "if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):",
        "if False:",
        "tests/cli/test_cli.py::test_an_env_file_that_another_user_could_write_is_not_read",
    ),
    Mutation(
        "another user's link to a file of one's own is not read for settings",
        "worker/cli/env_file.py",
        "{owner, status.st_uid}",
        "{status.st_uid}",
        "tests/cli/test_cli.py::test_an_env_file_that_another_user_has_linked_is_not_read",
    ),
    Mutation(
        "what others wrote does not steer a terminal",
        "worker/views/console.py",
        "yield segment if segment.control else",
        "yield segment if True else",
        "tests/cli/test_cli_terminal.py::test_whatever_is_laid_out_does_not_steer_the_terminal",
    ),
    Mutation(
        "a text of others makes no line of its own in a log",
        "worker/celery/logs.py",
        "return _INDENTED.join(",
        'return "\\n".join(',
        "tests/celery/test_logs.py::test_a_text_of_others_neither_steers_the_terminal_nor_makes_a_line_of_its_own",
    ),
    Mutation(
        "an output file's place leads to no other file",
        "ringproof/rosters/output_file.py",
        "os.O_NOFOLLOW | ",
        "",
        "tests/rosters/test_rejects.py::TestASharedFolder::test_may_have_a_link_which_is_not_followed",
    ),
    Mutation(
        "a pipe at an output file's place holds nobody up",
        "ringproof/rosters/output_file.py",
        "        self._check_earlier()\n",
        "",
        "tests/rosters/test_rejects.py::TestASharedFolder::test_may_have_a_pipe_which_is_not_written_to",
    ),
    Mutation(
        "an output file replaces nobody else's file",
        "ringproof/rosters/output_file.py",
        "if status.st_uid != os.geteuid():",
        "if False:",
        "tests/rosters/test_rejects.py::TestASharedFolder::test_may_have_anothers_file_which_stays",
    ),
    Mutation(
        "a demo's or a test's Redis answers nobody without its password",
        "worker/local/processes/redis_server.py",
        '            "requirepass": _quoted(self._password),\n',
        "",
        "tests/local/test_redis_server.py::test_a_server_demands_its_password_and_does_not_show_it",
    ),
    Mutation(
        "a demo's Redis writes nowhere else, and loads no code",
        "worker/local/processes/redis_server.py",
        '            **{f"rename-command {name}": \'""\' for name in self._removed},\n',
        "",
        "tests/local/test_redis_server.py::test_a_server_knows_no_command_that_writes_elsewhere_or_loads_code",
    ),
    Mutation(
        "a web page of this machine's other ports cannot drive the sandbox",
        "worker/plivo_http/local_only.py",
        "_is_browsers(headers) and",
        "False and",
        "tests/local/test_local_only.py::test_a_page_cannot_post_what_its_browser_sends_without_asking",
    ),
    Mutation(
        "the sandbox keeps no body without an end",
        "worker/plivo_http/bounded_body.py",
        "if max(size, len(body)) > self._most:",
        "if False:",
        "tests/local/test_local_only.py::test_a_body_that_is_too_large_is_refused_before_its_end",
    ),
    Mutation(
        "a web page cannot drive the sandbox",
        "worker/local/sandbox/routes.py",
        "Middleware(LocalOnly), ",
        "",
        "tests/local/test_local_only.py::test_a_page_of_another_site_is_refused",
    ),
    Mutation(
        "a body of nested lists is junk before it is pickled",
        "ringproof/celery/envelope.py",
        "layer = [value]",
        "return True",
        "tests/celery/test_envelope.py::test_a_body_may_be_as_deep_as_ringproofs_and_deeper_but_not_without_an_end",
    ),
    Mutation(
        "a compressed message is not unpacked",
        "ringproof/celery/envelope.py",
        "compression: None = None",
        "compression: Any = None",
        "tests/celery/test_envelope.py::test_a_compressed_message_is_refused_and_not_unpacked",
    ),
    Mutation(
        "a worker that has been silent for 20 s is not alive",
        "ringproof/ledger/heartbeats.py",
        " if abs(now_ms - at) <= ms(ALIVE)",
        "",
        "tests/ledger/test_heartbeats.py::test_who_has_not_beaten_lately_is_not_alive_whichever_way_the_clock_went",
    ),
    Mutation(
        "a worker that stops is not alive from that moment",
        "worker/celery/heartbeat.py",
        "if c.blueprint.state in STOP_CONDITIONS:",
        "if False:",
        "tests/celery/test_heartbeat.py::test_a_warm_stop_ends_the_heartbeats_at_once",
    ),
    Mutation(
        "Redis finds a page of the numbers that are due by its rank",
        "ringproof/ledger/reverification.py",
        'ledger.run("zrange", ledger.keys.renewals, first, min(first + PAGE, count) - 1)',
        'ledger.run("zrangebyscore", ledger.keys.renewals, "-inf", until, first, PAGE)',
        "tests/tasks/test_reverification.py::test_redis_walks_over_no_number_twice_however_many_are_due",
    ),
    Mutation(
        "a task's message has no headers but those that Celery writes",
        "ringproof/celery/broker.py",
        "message.headers = check_task(message.headers, routing_key, message.payload)",
        "pass",
        "tests/faults/test_messages.py::test_junk_of_every_kind_is_dropped_and_the_worker_goes_on",
    ),
    Mutation(
        "an error about junk in a queue that is no ValueError ends no worker",
        "ringproof/celery/broker.py",
        "except Exception as error:  # noqa: BLE001  # at junk, kombu and Celery raise anything",
        "except ValueError as error:",
        "tests/faults/test_messages.py::test_junk_of_every_kind_is_dropped_and_the_worker_goes_on",
    ),
    Mutation(
        "a wrong command does not close the channel that is being read",
        "worker/celery/consumer.py",
        'f"{__name__}:Control" if step == CELERYS else step',
        "step",
        "tests/faults/test_messages.py::test_junk_in_a_broadcast_is_dropped_and_the_worker_hears_the_next_one",
    ),
    Mutation(
        "junk among the messages that were taken is deleted",
        "ringproof/celery/broker.py",
        "            check_taken(taken)\n",
        "            pass\n",
        "tests/faults/test_messages.py::"
        "test_junk_among_the_messages_that_were_taken_does_not_keep_a_worker_from_starting",
    ),
    Mutation(
        "a client that repeats a request in the same second gets no second code",
        "worker/web/door/initiate.py",
        "ledger.now() - record.code_sent_at > REPETITION",
        "True",
        "tests/web/test_initiate.py::test_a_repetition_within_seconds_is_no_resend_even_without_a_cooldown",
    ),
    Mutation(
        "a deletion orders one other code, and not one for each repetition",
        "worker/web/door/initiate.py",
        "return ordered == str(record.request)",
        "return ordered is not None",
        "tests/web/test_initiate.py::test_a_deletion_ends_the_waiting_for_a_doubt_once",
    ),
    Mutation(
        "a caller who may not read does not learn that a number is verified",
        "worker/web/door/initiate.py",
        "if Scope.READ not in caller.scopes:",
        "if False:",
        "tests/web/test_initiate.py::test_a_caller_who_may_not_read_does_not_learn_that_a_number_is_verified",
    ),
    Mutation(
        "a uuid is its caller's alone",
        "worker/web/door/complete.py",
        "or verification.owner != call.caller.auth_id",
        "",
        "tests/web/test_complete.py::test_a_uuid_of_plivos_or_of_another_caller_is_not_found",
    ),
    Mutation(
        "the same code for the same uuid is entered once",
        "worker/web/door/complete.py",
        "nx=True, ex=ENTERING",
        "ex=ENTERING",
        "tests/web/test_complete.py::test_the_same_code_again_gets_the_same_answer_and_plivo_is_asked_once",
    ),
    Mutation(
        "a scope bounds what a caller of the front door may do",
        "worker/web/door/resource.py",
        "if needed not in credential.scopes:",
        "if False:",
        "tests/web/test_locks.py::test_a_scope_bounds_what_a_caller_may_do",
    ),
    Mutation(
        "the front door does not listen beyond this machine in clear",
        "worker/web/server.py",
        "if not is_local and not self.is_behind_proxy and not self.tls_cert:",
        "if False:",
        "tests/web/test_locks.py::test_a_server_that_is_not_safe_does_not_start",
    ),
    Mutation(
        "the front door does not start without a credential",
        "worker/web/server.py",
        "if not self.is_open and not credentials(ledger):",
        "if False:",
        "tests/web/test_locks.py::test_a_server_that_is_not_safe_does_not_start",
    ),
    Mutation(
        "a server without a lock answers no web page",
        "worker/web/app.py",
        "[Middleware(LocalOnly)] if site.locks.is_open else []",
        "[]",
        "tests/web/test_locks.py::test_an_open_server_answers_programs_of_this_machine_and_no_page",
    ),
    Mutation(
        "a removed number is not verified again by its schedule",
        "ringproof/ledger/lua/number/forget_verified.lua",
        "schedule_reverification(number, nil)\n",
        "",
        "tests/ledger/test_removal.py::test_a_verified_number_is_forgotten_with_its_schedule_and_can_have_a_code",
    ),
    Mutation(
        "a restart of Redis loses no wait of the front door",
        "worker/web/watch.py",
        "if loop.time() >= all_at:",
        "if False:",
        "tests/web/test_watch.py::test_a_restart_of_redis_loses_no_wait",
    ),
    Mutation(
        "a stop of the front door lets what runs be answered",
        "worker/web/server.py",
        "timeout_graceful_shutdown=LAST_ANSWERS_SECONDS",
        "timeout_graceful_shutdown=0",
        "tests/web/test_door_lost.py::test_a_stop_lets_what_runs_be_answered_and_takes_nothing_new",
    ),
    Mutation(
        "the front door answers before Plivo's clients give up",
        "worker/web/door/resource.py",
        "OUTCOME_SECONDS: Final = 3.3",
        "OUTCOME_SECONDS: Final = 30.3",
        "tests/web/test_initiate.py::test_what_waits_is_accepted_with_the_reason_and_again_with_the_same_uuid",
    ),
)


def table():
    """What README.md says, from the list."""
    rows = ["| guard | taken out of | what fails without it |", "|---|---|---|"]
    rows += [f"| {one.guard} | `{one.file}` | `{one.test}` |" for one in MUTATIONS]
    return "\n".join(rows)


def copy(folder):
    """Make a copy of what git knows of, as it is now."""
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in names.stdout.splitlines():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)


def run(folder, *tests):
    """Run tests in the copy, whose packages come first; return whether they pass, and what they say."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(
        command, cwd=folder, env=os.environ | {"PYTHONPATH": str(folder)}, capture_output=True, text=True, check=False
    )
    return done.returncode == 0, done.stdout + done.stderr


def survivors():
    """Take out each guard, and return those that no test has missed."""
    found = []
    with tempfile.TemporaryDirectory(prefix="ringproof-mutations-") as name:
        folder = Path(name)
        copy(folder)
        whole, output = run(folder, *{one.test for one in MUTATIONS})
        if not whole:
            raise SystemExit(f"{output}\nthe tests fail with all guards in place")
        for one in MUTATIONS:
            file = folder / one.file
            text = file.read_text()
            file.write_text(text.replace(one.old, one.new))
            missed = not run(folder, one.test)[0]
            file.write_text(text)
            print(f"{'fails as it should' if missed else 'STILL PASSES'}  {one.guard}", flush=True)
            found += [] if missed else [one]
    return found


if __name__ == "__main__":
    if "--write" in sys.argv:
        pattern = r"(<!-- table: mutations -->\n).*?(<!-- end -->)"
        README.write_text(
            re.sub(pattern, lambda marks: f"{marks[1]}{table()}\n{marks[2]}", README.read_text(), flags=re.DOTALL)
        )
    elif left := survivors():
        sys.exit(f"{len(left)} guards can be taken out and no test fails")
