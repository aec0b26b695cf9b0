# The duties of each fail that apply: fail, rule, lot, due day, due time, state
.fail_id as $fail
| .clock.obligations[]
| select(.kind == "duty" and .state != "not_applicable")
| [$fail, .rule, "lot", .lot // "-", "due", .due_date, .due_time // "-", .state]
| join(" ")
